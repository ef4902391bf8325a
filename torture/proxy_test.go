package torture_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between Akin and PostgreSQL, and does to their connections what a network does on a bad day. (Toxiproxy
// does the same between TCP ports; this PostgreSQL has a unix socket only.)
type proxy struct {
	listener net.Listener
	socket   string       // PostgreSQL's
	delay    atomic.Int64 // what each message of Akin's is held up by, as a time.Duration
	flow     sync.RWMutex // locked while nothing gets through

	mu    sync.Mutex
	links map[net.Conn]struct{} // Akin's ends
	cuts  int
}

func startProxy(t *testing.T, socket string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, socket: socket, links: map[net.Conn]struct{}{}}
	var links sync.WaitGroup
	links.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			links.Go(func() { p.link(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		links.Wait()
	})
	return p
}

// link carries one connection until either end closes it.
func (p *proxy) link(akin *net.TCPConn) {
	defer akin.Close()
	database, err := net.Dial("unix", p.socket)
	if err != nil {
		return // as a connection that is refused, a moment later
	}
	defer database.Close()
	p.mu.Lock()
	p.links[akin] = struct{}{}
	p.mu.Unlock()
	var answers sync.WaitGroup
	answers.Go(func() {
		p.carry(akin, database, func() time.Duration { return 0 })
		akin.Close()
	})
	p.carry(database, akin, func() time.Duration { return time.Duration(p.delay.Load()) })
	database.Close()
	answers.Wait()
	p.mu.Lock()
	delete(p.links, akin)
	p.mu.Unlock()
}

func (p *proxy) carry(to io.Writer, from io.Reader, delay func() time.Duration) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if held := delay(); held > 0 {
			<-time.After(held)
		}
		p.flow.RLock()
		_, err = to.Write(buffer[:n])
		p.flow.RUnlock()
		if err != nil {
			return
		}
	}
}

// cut resets every connection there is, and returns how many have been cut since the start.
func (p *proxy) cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for akin := range p.links {
		_ = akin.(*net.TCPConn).SetLinger(0) // a reset, not an orderly end
		akin.Close()
		delete(p.links, akin)
		p.cuts++
	}
	return p.cuts
}
