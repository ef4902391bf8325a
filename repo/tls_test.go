package repo_test

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"akin/model"
	"akin/repo/repotest"
)

// TestWhoAsksForTLSGetsTheRightServer connects to a PostgreSQL whose certificate no authority of this machine signed.
func TestWhoAsksForTLSGetsTheRightServer(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(repotest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	https := httptest.NewTLSServer(nil) // for its certificate, which is for 127.0.0.1
	t.Cleanup(https.Close)
	root := filepath.Join(t.TempDir(), "root.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw})
	if err := os.WriteFile(root, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	address := encrypting(t, https.TLS, config)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for query, refused := range map[string]bool{
		"":                    false, // which is prefer
		"sslmode=prefer":      false,
		"sslmode=require":     true,
		"sslmode=verify-ca":   true,
		"sslmode=verify-full": true,
		"sslmode=require&host=localhost,127.0.0.1&port=" + port + "," + port: true,
		"sslmode=require&sslrootcert=" + root:                                false, // as verify-ca
		"sslmode=verify-full&sslrootcert=" + root:                            false,
		"sslmode=verify-full&host=localhost&sslrootcert=" + root:             true,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			err := open(t, "postgres://"+config.User+"@"+address+"/"+config.Database+"?"+query, nil).Ping(t.Context())
			if !refused {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if known, ok := errors.AsType[*model.Error](err); !ok || known.Code != model.CodeUnavailable || !strings.Contains(known.Cause.Error(), "certificate") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// encrypting returns the address of a server that speaks TLS with its clients, and has PostgreSQL answer them.
func encrypting(t *testing.T, with *tls.Config, config *pgx.ConnConfig) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	serve := func(client net.Conn) {
		defer client.Close()
		var request [8]byte // for TLS
		if _, err := io.ReadFull(client, request[:]); err != nil {
			return
		}
		if _, err := client.Write([]byte("S")); err != nil {
			return
		}
		network, address := pgconn.NetworkAddress(config.Host, config.Port)
		server, err := net.Dial(network, address)
		if err != nil {
			return
		}
		defer server.Close()
		encrypted := tls.Server(client, with)
		go func() {
			_, _ = io.Copy(server, encrypted)
			server.Close()
		}()
		_, _ = io.Copy(encrypted, server)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(client)
		}
	}()
	return listener.Addr().String()
}
