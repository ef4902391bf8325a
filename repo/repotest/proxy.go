package repotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// Proxy is a Toxiproxy before a PostgreSQL of the tests': the network between, on a bad day.
type Proxy struct {
	URL string // the database's, by way of the proxy

	proxy *toxiproxy.Proxy
}

// NewProxy starts a proxy before the database at this address, which names a unix socket. It ends with the test, and
// every connection through it does.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := parsed.Query()
	bridge := newBridge(t, filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port")))
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "postgresql", "127.0.0.1:0", bridge)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Toxics.ResetToxics(context.Background()) // lest what they hold back wait on
		p.Stop()
	})
	host, port, _ := net.SplitHostPort(p.Listen)
	query.Set("host", host)
	query.Set("port", port)
	parsed.RawQuery = query.Encode()
	return &Proxy{URL: parsed.String(), proxy: p}
}

// Delay holds back what goes to the database for so long, and what comes from it, until the function it returns is called.
func (p *Proxy) Delay(t testing.TB, upstream, downstream time.Duration) (end func()) {
	t.Helper()
	for stream, delay := range map[string]time.Duration{"upstream": upstream, "downstream": downstream} {
		toxic := fmt.Sprintf(`{"type": "latency", "stream": %q, "attributes": {"latency": %d}}`, stream, delay.Milliseconds())
		if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			t.Fatal(err)
		}
	}
	return func() { p.proxy.Toxics.ResetToxics(context.Background()) }
}

// Shut ends every connection, whatever it is doing, and refuses new ones.
func (p *Proxy) Shut() { p.proxy.Stop() }

// Open lets connections in again.
func (p *Proxy) Open(t testing.TB) {
	t.Helper()
	if err := p.proxy.Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		t.Error(err)
	}
}

// IgnoreProxy leaves out of goleak what Toxiproxy keeps of a connection that was shut with something on its way.
func IgnoreProxy() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
	}
}

// newBridge leads from a TCP port, where Toxiproxy needs a server to be, to a unix socket, the only place where the
// PostgreSQL of the tests is. It returns its address.
func newBridge(t testing.TB, socket string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
			if err != nil {
				near.Close()
				continue
			}
			for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
				conns.Go(func() {
					_, _ = io.Copy(to, from) // its end, however it comes, is the other's too
					to.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		conns.Wait()
	})
	return listener.Addr().String()
}
