package notifier

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"certroll/cmd/certroll/metrics"
	"certroll/cmd/certroll/notify"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view/notification"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile/outbox"
	"certroll/vault"
)

// sender sends a message to one destination.
type sender interface {
	Send(ctx context.Context, m notify.Message) error
}

// senderOf returns the sender for the block's destination.
func senderOf(n *settings.Notify, version string) sender {
	if n.Webhook != "" {
		return &notify.Webhook{URL: n.Webhook, UserAgent: "certroll/" + version, Secrets: func() ([]string, error) {
			return settings.SecretLines("the secret of its webhook", n.SecretEnv, n.SecretFile)
		}}
	}
	return &notify.Service{
		URLs: func() ([]string, error) {
			return settings.SecretLines("the URL of its service", n.ServiceEnv, n.ServiceFile)
		},
		Command: func() ([]string, error) {
			self, err := os.Executable()
			return []string{self, "notify-child"}, err
		},
	}
}

// sendTo sends the body of a notification to the block's destination.
func sendTo(ctx context.Context, n *settings.Notify, version string, body []byte) error {
	var dto notification.Message
	if err := json.Unmarshal(body, &dto); err != nil {
		return fmt.Errorf("reading the message to %q: %w", n.Name, err)
	}
	err := senderOf(n, version).Send(ctx, notify.Message{ID: dto.ID, Subject: dto.Data.Subject, Text: dto.Data.Text, Body: body})
	if err != nil {
		return fmt.Errorf("notifying %q: %w", n.Name, err)
	}
	return nil
}

// Options are the parts of the program that a notifier needs.
type Options struct {
	Version  string
	LeaseTTL time.Duration
	Log      *slog.Logger
	Metrics  *metrics.Metrics // nil: no counting
	Since    time.Time        // a destination without a cursor gets the events from then on
}

// New makes the notifier for certroll.hcl's destinations; nil if there are none.
func New(s *settings.Settings, p *wiring.Parts, o Options) *outbox.Notifier {
	if len(s.Notify) == 0 {
		return nil
	}
	var all []outbox.Destination
	for _, n := range s.Notify {
		o.Metrics.Destination(n.Name)
		at := s.Vault.Prefix + "/notify/" + wiring.LedgerID(p.Ledger) + "/" + n.Name
		all = append(all, outbox.Destination{
			Name: n.Name, Interest: n.Interest(),
			Compose: func(b outbox.Notification) ([]byte, error) { return notification.New(b, time.Now()).Body() },
			Deliver: func(ctx context.Context, m outbox.Message) error { return sendTo(ctx, n, o.Version, m.Body) },
			State:   vault.NewAnchor(p.KV, s.Vault.Mount, at),
			Lease:   vault.NewLease(p.KV, s.Vault.Mount, at+"/lease", wiring.Holder(), o.LeaseTTL),
		})
	}
	return outbox.NewNotifier(p.Reconciler.Recorder, all, outbox.NotifierOptions{Since: o.Since, Delivered: delivered(o.Log, o.Metrics)})
}

// delivered logs and counts the result of a delivery.
func delivered(log *slog.Logger, m *metrics.Metrics) func(string, *outbox.Message, error) {
	return func(destination string, sent *outbox.Message, err error) {
		var kind, id string // empty if the failure concerns no message, as when Vault is down
		var notices int
		if sent != nil {
			kind, id, notices = string(sent.Kind), "msg_"+sent.ID, sent.Notices
			m.Notified(destination, err)
		}
		if err != nil {
			log.Error("sending a notification failed; will retry",
				"destination", destination, "kind", kind, "notices", notices, "id", id, "error", err)
			return
		}
		log.Info("notified", "destination", destination, "kind", kind, "notices", notices, "id", id)
	}
}

// testTimeout bounds one test message.
const testTimeout = 30 * time.Second

// Test sends one test message to the block's destination.
func Test(ctx context.Context, n *settings.Notify, version string, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	body, err := notification.Test(fmt.Sprintf("test_%d", now.UnixNano()), now).Body()
	if err != nil {
		return err
	}
	return sendTo(ctx, n, version, body)
}
