package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"akin/repo/repotest"
)

// terminal returns both ends of a terminal: what is written to the second is shown at the first.
func terminal(t *testing.T) (shown, written *os.File) {
	t.Helper()
	shown, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	var unlocked, number int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, shown.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	written, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return shown, written
}

func pipe(t *testing.T) (shown, written *os.File) {
	t.Helper()
	shown, written, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return shown, written
}

// slow is a file whose beginning takes as long as three drawings of a bar to be read or written.
type slow struct {
	io.ReadWriter
	steps int
}

func (s *slow) wait() {
	s.steps++
	if s.steps <= 30 {
		<-time.After(10 * time.Millisecond)
	}
}

func (s *slow) Read(p []byte) (int, error) {
	s.wait()
	return s.ReadWriter.Read(p[:min(len(p), 512)])
}

func (s *slow) Write(p []byte) (int, error) {
	s.wait()
	return s.ReadWriter.Write(p)
}

func TestProgressIsABarOnATerminalAlone(t *testing.T) {
	t.Parallel()
	var rows bytes.Buffer
	rows.WriteString("email\n")
	for i := range 2000 {
		fmt.Fprintf(&rows, "person%d@b.example\n", i)
	}
	for name, open := range map[string]func(*testing.T) (shown, written *os.File){"a terminal": terminal, "a pipe": pipe} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := []string{"--database-url", repotest.URL(t)}
			if code, _, stderr := command(t, append(database, "store", "create", "shop")...); code != 0 {
				t.Fatal(stderr)
			}
			for _, verb := range []string{"import", "export"} {
				in, out := &slow{ReadWriter: bytes.NewBuffer(rows.Bytes())}, &slow{ReadWriter: &bytes.Buffer{}}
				shown, stderr := open(t)
				showing := make(chan string)
				go func() {
					text, _ := io.ReadAll(shown) // a terminal ends with an error
					showing <- string(text)
				}()
				code := run(t.Context(), append(database, verb, "--kind", "customers", "--store", "shop", "-"), in, out, stderr)
				stderr.Close()
				text := <-showing
				shown.Close()
				if code != 0 {
					t.Errorf("%s exits with %d: %s", verb, code, text)
				}
				if bar := strings.Contains(text, "\r") && regexp.MustCompile(`[1-9]\d* rows`).MatchString(text); bar != (name == "a terminal") {
					t.Errorf("%s shows %q", verb, text)
				}
				if verb == "export" && strings.Contains(text, "%") != (name == "a terminal") {
					t.Errorf("%s shows %q", verb, text)
				}
			}
		})
	}
}
