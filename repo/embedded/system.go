package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// account is whom PostgreSQL and its files belong to. Without a credential it
// is the user of this process.
type account struct {
	name       string
	credential *syscall.Credential
}

// serverAccount is the user of this process, unless that is root, as which
// PostgreSQL refuses to run: then the owner of the cluster in data, or for a new
// one "postgres", which its packages make, or "nobody".
func serverAccount(data string) (account, error) {
	if os.Geteuid() != 0 {
		return account{name: strconv.Itoa(os.Geteuid())}, nil
	}
	if info, err := os.Stat(data); err == nil {
		stat := info.Sys().(*syscall.Stat_t)
		if stat.Uid != 0 {
			return account{
				name:       strconv.Itoa(int(stat.Uid)),
				credential: &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid},
			}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return account{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")
}

func (a account) uid() uint32 {
	if a.credential == nil {
		return uint32(os.Geteuid()) //nolint:gosec // the kernel's IDs have 32 bits
	}
	return a.credential.Uid
}

// own gives path to the account.
func (a account) own(path string) error {
	if a.credential == nil {
		return nil
	}
	return os.Lchown(path, int(a.credential.Uid), int(a.credential.Gid))
}

// mkdir makes a directory that only the account, and root, can enter.
func (a account) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return a.own(path)
}

// privateDir makes sure of a directory that nobody else can enter. In /tmp
// anybody may have made it first, to listen in place of PostgreSQL.
func (a account) privateDir(path string) error {
	err := a.mkdir(path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || stat.Uid != a.uid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s, for PostgreSQL's socket, must be a directory of user %s that nobody else can enter: remove it", path, a.name)
	}
	return nil
}

// makeDataDir makes dir if it is missing and returns its one true path, so that
// all processes agree on the names derived from it.
func makeDataDir(dir string, owner account) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	err = os.MkdirAll(filepath.Dir(dir), 0o755) //nolint:gosec // PostgreSQL's user has to pass
	if err == nil {
		err = owner.mkdir(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", notWritable(dir, err)
	}
	return filepath.EvalSymlinks(dir)
}

// notWritable says what to do about a data directory that cannot be written.
func notWritable(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the data directory %s is not writable: choose another with AKIN_DATA_DIR: %w", dir, err)
	}
	return err
}

var errLocked = errors.New("locked by another process")

// openFile opens a file of a directory that belongs to the account. A link that
// leads out of it is refused: we may be root, and the account may not.
func openFile(dir, name string, flag int) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", dir, err)
	}
	return file, nil
}

// tryLock opens a file, making it if need be, and locks it until it is closed,
// or returns errLocked.
func tryLock(dir, name string, how int) (*os.File, error) {
	file, err := openFile(dir, name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := flock(file, how); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func flock(file *os.File, how int) error {
	err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}

func writeFile(dir, name string, content []byte) error {
	file, err := openFile(dir, name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

func appendFile(dir, name, text string) (err error) {
	file, err := openFile(dir, name, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	return file.Sync()
}

// syncDir makes the names in a directory survive a power failure.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sleep returns ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
