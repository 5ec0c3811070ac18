package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"certroll/spec/redact"
)

// Webhook posts messages to a URL, signed by Standard Webhooks.
type Webhook struct {
	URL       string
	UserAgent string
	// Secrets reads the secrets for each message, so that they can be rotated: every one
	// of them signs the message.
	Secrets func() ([]string, error)
	Now     func() time.Time // nil: time.Now
}

// secretPrefix marks a base64 secret.
const secretPrefix = "whsec_"

// leastKey is the specification's minimum length of a key, in bytes.
const leastKey = 24

// key returns the bytes of a secret.
func key(secret string) ([]byte, error) {
	k := []byte(secret)
	if coded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		var err error
		if k, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, errors.New("what follows " + secretPrefix + " in the secret is no base64")
		}
	}
	if len(k) < leastKey {
		return nil, fmt.Errorf("the secret is not set or has fewer than %d bytes: make one by printf 'whsec_%%s\\n' \"$(openssl rand -base64 32)\"", leastKey)
	}
	return k, nil
}

// sign returns the value of the header webhook-signature.
func sign(secrets []string, id, timestamp string, body []byte) (string, error) {
	if len(secrets) == 0 {
		secrets = []string{""}
	}
	var signatures []string
	for _, s := range secrets {
		k, err := key(s)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, k)
		fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signatures, " "), nil
}

// Send posts a message. Any 2xx status is success.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	doing := "posting to " + redact.Links(w.URL)
	secrets, err := w.Secrets()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	timestamp := strconv.FormatInt(now().Unix(), 10)
	signature, err := sign(secrets, m.ID, timestamp, m.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("%s: the URL cannot be read", doing)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.UserAgent)
	req.Header.Set("Webhook-Id", m.ID)
	req.Header.Set("Webhook-Timestamp", timestamp)
	req.Header.Set("Webhook-Signature", signature)
	if err := post(req); err != nil {
		return fmt.Errorf("%s: %s", doing, strike(err.Error(), secrets))
	}
	return nil
}

// post sends a request over its own connection, since messages are rare. It follows no
// redirect, which would turn the request into another one.
func post(req *http.Request) error {
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 4*longest)) // the status is the result
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return fmt.Errorf("it was answered with %s: %s", resp.Status, said)
}
