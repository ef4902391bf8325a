// Command identities makes realistic input for an import: the accounts that people have on three platforms, as those
// platforms export them. The same flags give the same file, byte for byte.
//
//	go run ./bench/identities -rows 120000 -seed 1 > identities.csv
//
// Of the new accounts, four in ten are of a person who has one already, on any platform, under some spelling of the same
// address. Names are missing, platforms and addresses are in mixed case, some addresses and names are not in ASCII, one
// row in a hundred repeats an earlier account, half of those with something new, and one in a hundred is bad.
//
// On standard error it says what an import of the file into an empty store must come to, in one line:
//
//	rows=120000 created=… updated=… unchanged=… failed=… customers=…
//
// It uses nothing of Akin's, so that it can judge it.
package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// The shares of the rows, in hundredths.
const (
	badShare      = 1
	repeatedShare = 1
	knownShare    = 40 // of new accounts, those of a person who has another
	namelessShare = 15 // of accounts, those that lack a name; the same again for the other name
)

func main() {
	rows := flag.Int("rows", 120_000, "how many rows")
	seed := flag.Uint64("seed", 1, "another seed, another file")
	format := flag.String("format", "csv", "csv or ndjson")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	w, err := newWriter(*format, out)
	if err == nil {
		g := &generator{random: rand.New(rand.NewPCG(*seed, *seed)), writer: w}
		for range *rows {
			g.row()
		}
		err = out.Flush()
		fmt.Fprintf(os.Stderr, "rows=%d created=%d updated=%d unchanged=%d failed=%d customers=%d\n",
			*rows, len(g.accounts), g.updated, g.unchanged, g.failed, len(g.people))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// account is a row that can be imported; a name may be missing.
type account struct{ platform, id, email, firstName, lastName string }

// person has one mailbox, whose address can be spelled in several ways.
type person struct {
	firstName, lastName string
	local               string
	domain              domain
}

// domain is a host name, and its form in ASCII.
type domain struct{ unicode, ascii string }

type generator struct {
	random                     *rand.Rand
	writer                     writer
	people                     []person
	accounts                   []account
	updated, unchanged, failed int
}

// row writes one row of some kind.
func (g *generator) row() {
	switch n := g.random.IntN(100); {
	case n < badShare:
		g.failed++
		g.writer.bad(g.random, g.newAccount(person{"Bad", "Row", "bad.row", domains[0]}))
	case n < badShare+repeatedShare && len(g.accounts) > 0:
		g.repeat()
	default:
		who := g.person()
		a := g.newAccount(who)
		g.accounts = append(g.accounts, a)
		g.writer.row(a)
	}
}

// person returns somebody known or somebody new.
func (g *generator) person() person {
	if len(g.people) > 0 && g.random.IntN(100) < knownShare {
		return g.people[g.random.IntN(len(g.people))]
	}
	p := person{firstName: pick(g.random, firstNames), lastName: pick(g.random, lastNames), domain: pick(g.random, domains)}
	// The number makes the mailbox one of a kind.
	p.local = pick(g.random, locals) + pick(g.random, []string{".", "_", "-", "+", ""}) + strconv.Itoa(len(g.people))
	g.people = append(g.people, p)
	return p
}

// newAccount opens an account with an ID of its platform's own kind.
func (g *generator) newAccount(who person) account {
	a := account{email: g.spell(who), firstName: who.firstName, lastName: who.lastName}
	n := g.failed + len(g.accounts) + 1
	switch g.random.IntN(3) {
	case 0:
		a.platform, a.id = pick(g.random, []string{"woocommerce", "woocommerce", "WooCommerce"}), "cust_"+strconv.Itoa(19_000_000+n)
	case 1:
		a.platform, a.id = pick(g.random, []string{"shopify", "shopify", "Shopify"}), "gid://shopify/Customer/"+strconv.Itoa(7_000_000_000_000+n*37)
	default:
		a.platform, a.id = "newsletter", fmt.Sprintf("%08x-%04X", n, g.random.IntN(1<<16))
	}
	if g.random.IntN(100) < namelessShare {
		a.firstName = ""
	}
	if g.random.IntN(100) < namelessShare {
		a.lastName = ""
	}
	return a
}

// spell writes a person's address in one of the ways that reach the same mailbox.
func (g *generator) spell(who person) string {
	local, domain := who.local, who.domain.unicode
	if g.random.IntN(2) == 0 {
		domain = who.domain.ascii
	}
	switch g.random.IntN(10) {
	case 0:
		return strings.ToUpper(local) + "@" + domain
	case 1:
		return strings.Map(func(r rune) rune {
			if g.random.IntN(2) == 0 {
				return unicode.ToUpper(r)
			}
			return r
		}, local) + "@" + strings.ToUpper(domain)
	case 2:
		return strings.NewReplacer("é", "e\u0301", "ü", "u\u0308").Replace(local) + "@" + domain // decomposed
	case 3:
		return " " + local + "@" + domain + ". "
	}
	return local + "@" + domain
}

// repeat writes an account again, as it was or with something new.
func (g *generator) repeat() {
	i := g.random.IntN(len(g.accounts))
	a := &g.accounts[i]
	switch g.random.IntN(4) {
	case 0:
		a.firstName += pick(g.random, []string{" Maria", " 二", " 🌸"})
		g.updated++
	case 1: // the account has moved to another mailbox; its customer has not
		a.email = fmt.Sprintf("moved.%d.%d@elsewhere.example", i, g.updated)
		g.updated++
	default:
		g.unchanged++
	}
	g.writer.row(*a)
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// writer writes rows in a format, and rows that are bad in one of the ways in which that format's are.
type writer interface {
	row(account)
	bad(*rand.Rand, account)
}

func newWriter(format string, out *bufio.Writer) (writer, error) {
	switch format {
	case "csv":
		w := &csvWriter{out: out}
		w.cells("platform", "platform_customer_id", "email", "first_name", "last_name")
		return w, nil
	case "ndjson":
		return &ndjsonWriter{out: out}, nil
	}
	return nil, fmt.Errorf("-format must be csv or ndjson, not %q", format)
}

// spoil breaks one of the rules for an account's fields.
func spoil(random *rand.Rand, a account) account {
	switch random.IntN(12) {
	case 0:
		a.email = "no-at-sign.example.com"
	case 1:
		a.email = "two@@example.com"
	case 2:
		a.email = "jane@localhost"
	case 3:
		a.email = ""
	case 4:
		a.email = strings.Repeat("a", 250) + "@example.com"
	case 5:
		a.id = "   "
	case 6:
		a.id = strings.Repeat("9", 256)
	case 7:
		a.id = "cust_\uFFFD\uFFFD"
	case 8:
		a.platform = "Woo Commerce!"
	case 9:
		a.platform = ""
	case 10:
		a.firstName = pick(random, []string{"Bell\a", "Two\nlines", "Nul\x00"})
	default:
		a.lastName = strings.Repeat("long ", 60)
	}
	return a
}

type csvWriter struct{ out *bufio.Writer }

func (w *csvWriter) cells(cells ...string) {
	c := csv.NewWriter(w.out)
	_ = c.Write(cells) // an error stays with out, which reports it when flushed
	c.Flush()
}

func (w *csvWriter) row(a account) { w.cells(a.platform, a.id, a.email, a.firstName, a.lastName) }

func (w *csvWriter) bad(random *rand.Rand, a account) {
	switch random.IntN(5) {
	case 0:
		w.cells(a.platform, a.id, a.email)
	case 1:
		w.cells(a.platform, a.id, a.email, a.firstName, a.lastName, "one too many")
	case 2: // a quote that is never closed
		_, _ = w.out.WriteString(a.platform + "," + a.id + ",\"" + a.email + ",x,y\n")
	case 3: // Latin-1
		w.cells(a.platform, a.id, a.email, "Ren\xE9", a.lastName)
	default:
		a = spoil(random, a)
		w.row(a)
	}
}

type ndjsonWriter struct{ out *bufio.Writer }

func (w *ndjsonWriter) object(a account) []byte {
	object := map[string]any{"platform": a.platform, "platformCustomerId": a.id, "email": a.email}
	if a.firstName != "" {
		object["firstName"] = a.firstName
	}
	if object["lastName"] = any(a.lastName); a.lastName == "" {
		object["lastName"] = nil
	}
	text, _ := json.Marshal(object) // strings and nil have no way to fail
	return append(text, '\n')
}

func (w *ndjsonWriter) row(a account) {
	_, _ = w.out.Write(w.object(a))
}

func (w *ndjsonWriter) bad(random *rand.Rand, a account) {
	text := w.object(a)
	switch random.IntN(5) {
	case 0: // cut off
		text = append(text[:len(text)/2], '\n')
	case 1:
		text = bytes.Replace(text, []byte(`"email"`), []byte(`"e-mail"`), 1)
	case 2: // Latin-1
		text = bytes.Replace(text, []byte(`"`+a.platform), []byte("\"\xE9"+a.platform), 1)
	case 3:
		text = bytes.Replace(text, []byte(`"platform":"`+a.platform+`"`), []byte(`"platform":3`), 1)
	default:
		text = w.object(spoil(random, a))
	}
	_, _ = w.out.Write(text)
}
