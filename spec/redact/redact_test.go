package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const pemKey = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVcB/UNPxalR9zDYA\njQIfjojUDiQuGnSJrFEEzZPT/92hRANCAASc7UJtgnF/abqWM60T3XNJEzBv5ez9\n-----END PRIVATE KEY-----\n"

// corpus are secrets of the kinds that certroll handles.
var corpus = map[string]string{
	"API token":        "cf_9fK2-xQ7zLw0PvR3sT8uYb1NcE5hG6jM",
	"password":         `pa"ss/w<o>rd&+1 = é`,
	"password, spaces": "correct horse battery staple",
	"TSIG key":         "K2JhcnNlLWZvby1iYXItYmF6LXF1eC1xdXV4L2NvcmdlKw==",
	"EAB HMAC":         "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
	"EAB key id":       "kid-ThisIsTheKeyIdOfAnAccount",
	"private key":      pemKey,
	"trailing newline": "token-from-a-file-0123456789\n",
	"short":            "s3cr3t",
}

// quotes are the ways in which another program may quote a secret that it received.
var quotes = map[string]func(secret string) string{
	"raw":         func(s string) string { return s },
	"query":       url.QueryEscape,
	"path":        url.PathEscape,
	"lower query": func(s string) string { return percent.ReplaceAllStringFunc(url.QueryEscape(s), strings.ToLower) },
	"JSON":        func(s string) string { b, _ := json.Marshal(map[string]string{"said": s}); return string(b) },
	"Go":          func(s string) string { return fmt.Sprintf("%q", s) },
	"HTML":        html.EscapeString,
	"PHP":         func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
	"error": func(s string) string {
		return (&url.Error{Op: "Get", URL: "https://ca/?k=" + url.QueryEscape(s), Err: fmt.Errorf("no")}).Error()
	},
	"log": func(s string) string {
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "token", s)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "token", s)
		return b.String()
	},
	"std":               func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"url":               func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"raw std":           func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	"raw url":           func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64 in a query": func(s string) string { return "?auth=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
	"JWS payload": func(s string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"payload":"` + s + `","more":true}`))
	},
	"in the middle": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("a" + s + "zz")) },
}

func init() {
	for n := range 7 {
		quotes[fmt.Sprintf("Basic with a name of %d", n)] = func(s string) string {
			r := http.Request{Header: http.Header{}}
			r.SetBasicAuth(strings.Repeat("u", n), s)
			return r.Header.Get("Authorization")[len("Basic "):]
		}
	}
}

// readable returns everything that a reader can extract from a text: the text itself, and the decoded forms of its runs
// of base64 and escapes.
func readable(out string) []string {
	list := []string{out}
	if s, err := url.QueryUnescape(out); err == nil {
		list = append(list, s)
	}
	list = append(list, html.UnescapeString(out), strings.ReplaceAll(strings.ReplaceAll(out, `\n`, "\n"), `\/`, "/"))
	for _, run := range strings.FieldsFunc(list[len(list)-1]+" "+list[1%len(list)], func(r rune) bool { return r > 127 || !isBase64(byte(r)) }) {
		if len(run) < 8 {
			continue
		}
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for skip := range 4 {
				b, _ := e.DecodeString(run[skip:]) // includes the bytes before an error
				list = append(list, string(b))
			}
		}
	}
	return list
}

// TestCorpus: no spelling in a program's output reveals a secret, nor six consecutive bytes of it.
func TestCorpus(t *testing.T) {
	for kind, secret := range corpus {
		r := New(secret)
		for way, quote := range quotes {
			text := "before " + quote(secret) + " after"
			out := r.Strike(text)
			if !strings.Contains(out, Struck) || !strings.HasPrefix(out, "before ") || !strings.HasSuffix(out, " after") {
				t.Errorf("%s, %s: %q became %q", kind, way, text, out)
			}
			for _, seen := range readable(out) {
				for i := 0; i+6 <= len(secret); i++ {
					if part := secret[i : i+6]; !strings.Contains(part, "-----") && strings.Contains(seen, part) && !strings.Contains("-----BEGIN PRIVATE KEY----- -----END PRIVATE KEY-----", part) {
						t.Fatalf("%s, %s: %q of it can be read off %q", kind, way, part, out)
					}
				}
			}
		}
	}
}

// TestEncodedSecret: redaction also removes the decoded bytes of a base64 secret.
func TestEncodedSecret(t *testing.T) {
	secret := "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	b, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	r := New(secret)
	for _, text := range []string{hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.StdEncoding.EncodeToString(b)} {
		if got := r.Strike("key " + text); got != "key "+Struck {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func TestStrike(t *testing.T) {
	token := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJmYWtlIn0.c2lnbmF0dXJl"
	r := New("abcdef", "abcdefgh", "fghij", "xy")
	for text, want := range map[string]string{
		"abcdefgh":       Struck, // the longest match wins
		"abcdefghij":     Struck, // overlapping secrets
		"abcdef abcdef":  Struck + " " + Struck,
		"xyz":            "xyz", // too short for a secret
		"all is well":    "all is well",
		"":               "",
		"token " + token: "token " + Struck,
		"see https://ca.example.com/unpause?x=1&jwt=" + token + ".":       "see https://ca.example.com/unpause?x=1&jwt=" + Struck,
		"https://ca.example.com/u/" + token:                               "https://ca.example.com/u/" + Struck,
		"too many certificates (5) for example.com":                       "too many certificates (5) for example.com",
		"hvs.CAESIJ0123456789ABCDEFGH was denied":                         Struck + " was denied",
		"bad key " + strings.ReplaceAll(pemKey, "\n", `\n`):               "bad key " + Struck + `\n`,
		"bad key " + pemKey[:80]:                                          "bad key " + Struck,
		"dial postgres://u:hunter2@db/x":                                  "dial postgres://" + Struck + "@db/x",
		"ssh://git@host:22/x":                                             "ssh://git@host:22/x",
		"401: Basic authentication failed":                                "401: Basic authentication failed",
		"Authorization: Basic dXNlcjpwYXNzd29yZA==":                       "Authorization: Basic " + Struck,
		"Authorization: Bearer Mbcd-fghi-klmn0123":                        "Authorization: Bearer " + Struck,
		"the key id 0123 and the serial 0a:1b are shown, and /a/b/c, too": "the key id 0123 and the serial 0a:1b are shown, and /a/b/c, too",
	} {
		got := r.Strike(text)
		if got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if again := r.Strike(got + "; more"); again != got+"; more" {
			t.Errorf("%q became %q when struck again", got, again)
		}
	}
	if got := (*Redactor)(nil).Strike("token " + token); got != "token "+Struck {
		t.Errorf("without secrets: %q", got)
	}
}

// TestMany: a process that keeps learning new tokens remembers the newest ones.
func TestMany(t *testing.T) {
	r := New()
	for i := range mostSecrets + 5 {
		r.Add(fmt.Sprintf("token-number-%06d", i))
	}
	if len(r.secrets) > mostSecrets {
		t.Errorf("%d are remembered", len(r.secrets))
	}
	last := fmt.Sprintf("token-number-%06d", mostSecrets+4)
	if got := r.Strike(last); got != Struck {
		t.Errorf("got %s", got)
	}
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(New(`pa"ss/word`).Writer(&b), nil))
	log.Info("login", "error", `wrong: pa"ss/word`)
	if strings.Contains(b.String(), `pa\"ss`) || !strings.Contains(b.String(), Struck) {
		t.Errorf("logged %s", b.String())
	}
}

func TestQueriesAndLinks(t *testing.T) {
	in := `Get "https://user:pw@api.example.com/update?key=abcdef&x=1": status 401`
	if got, want := Queries(in), `Get "https://api.example.com/update?`+Struck+`": status 401`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Queries("https://user:pa/ss@api.example.com/update?key=abcdef"), "https://"+Struck; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for in, want := range map[string]string{
		"discord://token@id":                    "discord://id/" + Struck,
		"https://hooks.example.com/T/B/x":       "https://hooks.example.com/" + Struck,
		"https://hooks.example.com?t=1":         "https://hooks.example.com/" + Struck,
		"https://hooks.example.com":             "https://hooks.example.com",
		"https://hooks.example.com#hash":        "https://hooks.example.com/" + Struck,
		"smtp://bob:pa/ss@mail.example.com/x":   "smtp://" + Struck,
		"smtp://bob:pa?ss@mail.example.com/x":   "smtp://" + Struck,
		"smtp://bob:pa#ss@mail.example.com/x":   "smtp://" + Struck,
		"smtp://bob:pa@ss@mail.example.com:25/": "smtp://mail.example.com:25/" + Struck,
		"https://chat.example.com/@room":        "https://" + Struck,
	} {
		if got := Links(in); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	for _, want := range []string{"t0ken", "webhookid", "hidden1234"} {
		found := false
		for _, p := range Parts("discord://t0ken@webhookid?x=hidden1234") {
			found = found || p == want
		}
		if !found {
			t.Errorf("%s is no part", want)
		}
	}
}

// FuzzStrike: no surrounding text lets a secret survive.
func FuzzStrike(f *testing.F) {
	for _, secret := range corpus {
		f.Add(secret, "before ", " after")
	}
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if len(secret) < Shortest || len(secret) > 4096 || strings.Contains(Struck, secret) {
			return
		}
		if out := New(secret).Strike(before + secret + after); strings.Contains(out, secret) && !strings.Contains(Struck+before+Struck+after+Struck, secret) {
			t.Errorf("%q is left in %q", secret, out)
		}
	})
}

// TestLearn: hosts, addresses and short words are not learned as secrets.
func TestLearn(t *testing.T) {
	for text, secret := range map[string]bool{
		"example.com": false, "ns1.example.com:53": false, "https://pdns.example.com/api/v1": false, "192.0.2.1:8081": false,
		"2001:db8::1": false, "[2001:db8::1]:53": false, "12345678": false, "admin": false,
		"https://u:p@pdns.example.com": true, "https://h.example.com/?key=x": true, "correct-horse": true, "Tr0ub4dor&3": true, "deadbeefcafe": true,
	} {
		r := New()
		r.Learn(text)
		if got := r.Strike("x " + text); (got == "x "+Struck) != secret && strings.Contains(got, text) == secret {
			t.Errorf("%s became %s", text, got)
		}
	}
}
