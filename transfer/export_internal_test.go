package transfer

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceNamesTheFileThatItCannotWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		below string
		write func(path string, file io.Writer) error
	}{
		"its directory is not there": {"none", func(string, io.Writer) error { return nil }},
		"it cannot be written": {"", func(_ string, file io.Writer) error {
			file.(*os.File).Close()
			_, err := file.Write([]byte("row"))
			return err
		}},
		"a directory takes its place meanwhile": {"", func(path string, _ io.Writer) error { return os.Mkdir(path, 0o700) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, c.below, "x.csv")
			err := replace(path, func(file io.Writer) error { return c.write(path, file) })
			if err == nil || !strings.Contains(err.Error(), " "+path+": ") || strings.Contains(err.Error(), ".x.csv") {
				t.Errorf("the error is %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".x.csv*")); left != nil {
				t.Errorf("it leaves %v", left)
			}
		})
	}
}
