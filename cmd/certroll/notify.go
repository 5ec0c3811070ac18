package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/metrics"
	"certroll/cmd/certroll/notify"
	"certroll/cmd/certroll/proposal"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/view/notification"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile"
	"certroll/vault"
)

// sender sends a message to one destination.
type sender interface {
	Send(ctx context.Context, m notify.Message) error
}

// senderOf is the way to the block's destination.
func senderOf(n *settings.Notify) sender {
	if n.Webhook != "" {
		return &notify.Webhook{URL: n.Webhook, UserAgent: "certroll/" + version(), Secrets: func() ([]string, error) {
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
func sendTo(ctx context.Context, n *settings.Notify, body []byte) error {
	var dto notification.Message
	if err := json.Unmarshal(body, &dto); err != nil {
		return fmt.Errorf("reading the message to %q: %w", n.Name, err)
	}
	err := senderOf(n).Send(ctx, notify.Message{ID: dto.ID, Subject: dto.Data.Subject, Text: dto.Data.Text, Body: body})
	if err != nil {
		return fmt.Errorf("notifying %q: %w", n.Name, err)
	}
	return nil
}

// notifier tells the destinations of certroll.hcl; nil where there are none.
// since is from when on one is told that was never told anything.
func (a *app) notifier(s *settings.Settings, p *wiring.Parts, log *slog.Logger, m *metrics.Metrics, since time.Time) *reconcile.Notifier {
	if len(s.Notify) == 0 {
		return nil
	}
	var all []reconcile.Destination
	for _, n := range s.Notify {
		m.Destination(n.Name)
		at := s.Vault.Prefix + "/notify/" + wiring.LedgerID(p.Ledger) + "/" + n.Name
		all = append(all, reconcile.Destination{
			Name: n.Name, Interest: n.Interest(),
			Compose: func(b reconcile.Bulletin) ([]byte, error) { return notification.New(b, time.Now()).Body() },
			Deliver: func(ctx context.Context, m reconcile.Message) error { return sendTo(ctx, n, m.Body) },
			State:   vault.NewAnchor(p.KV, s.Vault.Mount, at),
			Lease:   vault.NewLease(p.KV, s.Vault.Mount, at+"/lease", wiring.Holder(), a.ttl()),
		})
	}
	return reconcile.NewNotifier(p.Reconciler.Recorder, all, reconcile.NotifierOptions{Since: since, Told: told(log, m)})
}

// told logs and counts how a message went.
func told(log *slog.Logger, m *metrics.Metrics) func(string, *reconcile.Message, error) {
	return func(destination string, sent *reconcile.Message, err error) {
		var kind, id string // none where it is about no message, as where Vault is away
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

// notices is the notifier of run, which another takes the place of where certroll.hcl has
// other destinations.
type notices struct {
	start func(*settings.Settings) // from when on run notifies

	mu    sync.Mutex
	now   *reconcile.Notifier // nil: nobody is told
	stop  context.CancelFunc
	ended chan struct{} // closed when the one before has ended
}

// run lets a notifier, nil for none, run in the place of the one before, once that has
// ended: two would send the same.
func (n *notices) run(ctx context.Context, beside *sync.WaitGroup, next *reconcile.Notifier) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, ended := n.ended, make(chan struct{})
	if n.stop != nil {
		n.stop()
	}
	ctx, n.stop = context.WithCancel(ctx)
	n.now, n.ended = next, ended
	beside.Go(func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		if next != nil {
			next.Run(ctx)
		}
	})
}

// wake has the destinations read what the ledger has new.
func (n *notices) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now != nil {
		n.now.Wake()
	}
}

// notifyOnce tells what there is to tell at the end of a command. What goes
// wrong is logged, and tried again by the next run.
func (a *app) notifyOnce(ctx context.Context, p *proposal.Proposal) {
	if n := a.notifier(p.Settings, p.Parts, p.Log, nil, p.Now); n != nil {
		n.Once(ctx)
	}
}

func (a *app) notifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "notify",
		Short: "Try the destinations of notifications",
		Long: `Notifications go to the destinations of the notify blocks in certroll.hcl; certroll
run and certroll apply send them. See docs/notifications.md.`,
	}
	c.AddCommand(&cobra.Command{
		Use:   "test [NAME...]",
		Short: "Send a test message to all destinations, or to some",
		Long: `Send one test message to each destination, or to those named, and print each
answer. Exits 1 if a destination rejected it.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.notifyTest(cmd.Context(), args) },
	})
	return c
}

// testTimeout bounds one test message.
const testTimeout = 30 * time.Second

func (a *app) notifyTest(ctx context.Context, names []string) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	chosen, err := chosenDestinations(s, names)
	if err != nil {
		return err
	}
	failed := false
	for _, n := range chosen {
		err := sendTest(ctx, n, time.Now())
		failed = failed || err != nil
		view.WriteNotifyTest(a.Out, a.Palette(), n.Name, err)
	}
	if failed {
		return console.ExitCode(console.ExitError)
	}
	return nil
}

func sendTest(ctx context.Context, n *settings.Notify, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	body, err := notification.Test(fmt.Sprintf("test_%d", now.UnixNano()), now).Body()
	if err != nil {
		return err
	}
	return sendTo(ctx, n, body)
}

// chosenDestinations are the blocks of some names, or all.
func chosenDestinations(s *settings.Settings, names []string) ([]*settings.Notify, error) {
	if len(s.Notify) == 0 {
		return nil, fmt.Errorf("there is no notify block in certroll.hcl; docs/notifications.md shows how one is written")
	}
	if len(names) == 0 {
		return s.Notify, nil
	}
	byName := map[string]*settings.Notify{}
	for _, n := range s.Notify {
		byName[n.Name] = n
	}
	var chosen []*settings.Notify
	for _, name := range names {
		n := byName[name]
		if n == nil {
			return nil, fmt.Errorf("there is no notify block %q in certroll.hcl, which has %s", name, strings.Join(slices.Sorted(maps.Keys(byName)), ", "))
		}
		chosen = append(chosen, n)
	}
	return chosen, nil
}

func (a *app) notifyChildCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "notify-child",
		Hidden: true,
		Short:  "Send one message to services, both read from standard input",
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return notify.ServeChild(cmd.InOrStdin(), console.Unfiltered(a.Out))
		},
	}
}
