package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-acme/lego/v4/acme/api" //nolint:depguard // the test is a client of its own, which deactivates the account and revokes

	"certroll/reconcile/ledger"
)

// accountDocuments returns the documents of the ACME accounts in Vault, by ID.
func (w *world) accountDocuments() map[string]map[string]string {
	w.t.Helper()
	var keys struct {
		Data struct {
			Keys []string `json:"keys"`
		} `json:"data"`
	}
	if err := w.vault.API(w.t.Context(), "LIST", "secret/metadata/"+w.prefix+"/accounts", nil, &keys); err != nil {
		w.t.Fatal(err)
	}
	out := map[string]map[string]string{}
	for _, k := range keys.Data.Keys {
		out[k] = w.secret(w.prefix + "/accounts/" + k)
	}
	return out
}

// onlyAccount returns the only account.
func (w *world) onlyAccount() (id string, doc map[string]string) {
	w.t.Helper()
	docs := w.accountDocuments()
	if len(docs) != 1 {
		w.t.Fatalf("%d account documents: %v", len(docs), docs)
	}
	for id, doc = range docs {
		break
	}
	return id, doc
}

// client returns an ACME client of the test that uses certroll's account.
func (w *world) client(over *http.Client, doc map[string]string) *api.Core {
	w.t.Helper()
	block, _ := pem.Decode([]byte(doc["private_key"]))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	core, err := api.New(over, "test", w.directory, doc["account_url"], key.(crypto.Signer))
	if err != nil {
		w.t.Fatal(err)
	}
	return core
}

// deactivate deactivates an account at the CA, as its owner can by hand.
func (w *world) deactivate(over *http.Client, doc map[string]string) {
	w.t.Helper()
	if err := w.client(over, doc).Accounts.Deactivate(doc["account_url"]); err != nil {
		w.t.Fatal(err)
	}
}

// removeAccount follows the advice in the error for a dead account. It requires that retrying one certificate ends the
// hold of all, with a new account.
func (w *world) removeAccount(id string, doc map[string]string, retried string, names []string) {
	w.t.Helper()
	if err := w.vault.API(w.t.Context(), "DELETE", "secret/metadata/"+w.prefix+"/accounts/"+id, nil, nil); err != nil {
		w.t.Fatal(err)
	}
	w.certroll(0, "retry", retried)
	w.certroll(0, "apply", "-auto-approve")
	w.certroll(0, "apply", "-auto-approve")
	for _, name := range names {
		if r := w.record(name); r.State != ledger.StateLive || r.Live.Rotate != "now" {
			w.t.Errorf("%s: %s, last rotation %q", name, r.State, r.Live.Rotate)
		}
	}
	if _, now := w.onlyAccount(); now["account_url"] == doc["account_url"] {
		w.t.Error("it is the old account still")
	}
}

// TestDeactivatedAccount: the CA rejects a deactivated account. Only one of many certificates fails, certroll creates
// no order, doctor reports the account beforehand, and the advice in the error works: after it all certificates are
// renewed.
func TestDeactivatedAccount(t *testing.T) {
	l := newLab(t)
	names := []string{"m0", "m1", "m2", "m3", "m4", "m5"}
	w, f := l.faulty(t, declare("", names...))
	w.certroll(0, "apply", "-auto-approve")
	id, doc := w.onlyAccount()
	w.deactivate(f.server.Client(), doc)
	w.push(declare(`rotate = "now"`, names...), "All are due")
	if out := w.certroll(1, "doctor", "-no-canary"); !strings.Contains(out, "ACME account of issuer pebble") {
		t.Errorf("doctor: %s", out)
	}
	before := f.count(newOrder)
	w.certroll(1, "apply", "-auto-approve")
	if n := f.count(newOrder) - before; n != 0 {
		t.Errorf("%d orders were asked for with a dead account", n)
	}
	failed := slices.DeleteFunc(w.events(), func(e auditEvent) bool { return e.Status != string(ledger.Failed) })
	const remove = "vault kv metadata delete -mount=secret "
	if len(failed) != 1 || failed[0].Owner != string(ledger.OwnerAccount) || !strings.Contains(failed[0].Message, remove+w.prefix+"/accounts/"+id) {
		t.Fatalf("failures: %+v", failed)
	}
	w.removeAccount(id, doc, failed[0].Certificate, names)
}

// TestChangedEmail: certroll updates the contact at the CA and keeps the account: one document, one URL, no second
// registration. It also finds an account stored by an earlier certroll, which keeps its path in Vault.
func TestChangedEmail(t *testing.T) {
	l := newLab(t)
	w, f := l.issued(t, "mail")
	id, before := w.onlyAccount()
	registered := f.count(newAccount)
	w.editSettings(func(s string) string {
		return strings.Replace(s, `"ops@example.com"`, `"new-team@example.com"`, 1)
	})
	w.certroll(0, "apply", "-auto-approve")
	now, after := w.onlyAccount()
	if now != id || after["account_url"] != before["account_url"] || after["contact"] != "new-team@example.com" {
		t.Errorf("account %s %v, before %s %v", now, after, id, before)
	}
	if n := f.count(newAccount) - registered; n != 0 {
		t.Errorf("newAccount was asked %d times more", n)
	}
	if r := w.record("mail"); r.State != ledger.StateLive || r.Live.Rotate != "now" {
		t.Errorf("record: %+v", r)
	}
}
