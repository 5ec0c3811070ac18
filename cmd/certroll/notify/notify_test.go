package notify

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary act as the child process that contacts notification services.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "notify-child" {
		if err := ServeChild(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func fixed(list ...string) func() ([]string, error) {
	return func() ([]string, error) { return list, nil }
}

func service(urls ...string) *Service {
	return &Service{URLs: fixed(urls...), Command: func() ([]string, error) {
		self, err := os.Executable()
		return []string{self, "notify-child"}, err
	}}
}

// TestSign uses the example from the Standard Webhooks specification's libraries.
func TestSign(t *testing.T) {
	got, err := sign([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("signed %q, %v", got, err)
	}
}

func TestKey(t *testing.T) {
	for secret, ok := range map[string]bool{
		"": false, "too short": false, "whsec_": false, "whsec_dG9vIHNob3J0": false, "whsec_!!": false,
		"a secret of twenty-four or more": true, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": true,
	} {
		if _, err := key(secret); (err == nil) != ok {
			t.Errorf("%q: %v", secret, err)
		}
	}
}

// TestWebhook checks the posted request and the handling of responses.
func TestWebhook(t *testing.T) {
	secret, second := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "another secret of this test alone"
	at := time.Unix(1614265330, 0)
	answer := http.StatusNoContent
	var got http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, body = r.Header, nil
		body, _ = io.ReadAll(r.Body)
		if answer == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(answer)
		io.WriteString(w, "we know "+second+" here")
	}))
	defer server.Close()
	w := &Webhook{URL: server.URL + "/hook?token=hidden-in-the-url", UserAgent: "certroll/test", Secrets: fixed(secret, second), Now: func() time.Time { return at }}
	m := Message{ID: "msg_1", Body: []byte(`{"schema":1}`)}
	if err := w.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	want, err := sign([]string{secret, second}, "msg_1", "1614265330", m.Body)
	if err != nil || got.Get("webhook-signature") != want || len(strings.Fields(want)) != 2 {
		t.Errorf("signed %q, want %q", got.Get("webhook-signature"), want)
	}
	if got.Get("webhook-id") != "msg_1" || got.Get("webhook-timestamp") != "1614265330" || got.Get("Content-Type") != "application/json" || string(body) != `{"schema":1}` {
		t.Errorf("posted %v %s", got, body)
	}
	for _, answer = range []int{http.StatusFound, http.StatusGone, http.StatusInternalServerError} {
		err := w.Send(t.Context(), m)
		if err == nil || !strings.Contains(err.Error(), http.StatusText(answer)) {
			t.Errorf("answered with %d: %v", answer, err)
		}
		for _, hidden := range []string{second, "hidden-in-the-url"} {
			if err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("%v", err)
			}
		}
	}
	w.Secrets = func() ([]string, error) { return nil, errors.New("no such file") }
	if err := w.Send(t.Context(), m); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a secret: %v", err)
	}
}

// TestService: a service receives subject and text.
func TestService(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	if err := service("generic://"+host+"/path?disabletls=yes&template=json").Send(t.Context(), Message{Subject: "the subject", Text: "the text"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(body, `"title":"the subject"`) || !strings.Contains(body, "the text") {
		t.Errorf("it got %s", body)
	}
}

// TestServiceHangs: certroll gives up on a service that does not respond, and ends its child process.
func TestServiceHangs(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
	}))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	err := service("generic://"+strings.TrimPrefix(server.URL, "http://")+"/?disabletls=yes").Send(ctx, Message{Subject: "s", Text: "t"})
	if err == nil || !strings.Contains(err.Error(), "did not come back") {
		t.Errorf("%v", err)
	}
}

// TestServicesKeepSecrets: no error of a service contains any part of its URL. The tests send through a proxy that
// reaches nothing.
func TestServicesKeepSecrets(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
		t.Setenv(name, "http://127.0.0.1:9")
	}
	cases := map[string][]string{
		"slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook":                                     {"WNA3PBYV6", "F20DUQND3RQ", "Webc4MAvoacrpPakR8phF0zi"},
		"discord://bQ4_hidden-token_Zx9@123456789012345678":                                                       {"hidden", "123456789012345678"},
		"telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=@channel-hidden":                  {"110201543", "AAHdqTcv", "channel-hidden"},
		"pushover://shoutrrr:azGDORePK8gMaC0QOYAMyEEuzJnyUi@uQiRzpo4DXghDmr9QzzfQu27cmVRsG/":                      {"azGDORePK8g", "uQiRzpo4DX"},
		"ntfy://user:hidden-password@127.0.0.1:9/hidden-topic":                                                    {"hidden"},
		"generic+https://hooks.example.com/hidden/path?token=hiddentoken":                                         {"hidden"},
		"smtp://ops:hidden-password@127.0.0.1:9/?from=certroll@example.com&to=hidden-ops@example.com":             {"hidden"},
		"gotify://gotify.example.com/AhiddenTok3n4x/":                                                             {"AhiddenTok3n4x"},
		"no-such-service://hidden-token@hidden-host":                                                              {"hidden"},
		"hidden words that are no URL":                                                                            {"hidden"},
		"teams://hiddengr-0000-0000-0000-000000000000@hiddente/hiddenalt/hiddenown?host=hiddenorg.webhook.office": {"hidden"},
	}
	urls := slices.Sorted(maps.Keys(cases))
	err := service(urls...).Send(t.Context(), Message{Subject: "s", Text: "t"})
	if err == nil {
		t.Fatal("they were sent")
	}
	said := err.Error()
	t.Log(said)
	if n := strings.Count(said, "sending through "); n != len(urls) {
		t.Errorf("%d of %d were not sent", n, len(urls))
	}
	for raw, secrets := range cases {
		for _, s := range secrets {
			if strings.Contains(said, s) {
				t.Errorf("%s: the error holds %q", raw, s)
			}
		}
	}
}
