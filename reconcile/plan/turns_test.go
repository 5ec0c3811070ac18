package plan_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
)

// TestTurns checks that each name has one turn per round, while names come and go.
func TestTurns(t *testing.T) {
	names := func(from, to int) (list []string) {
		for i := from; i < to; i++ {
			list = append(list, fmt.Sprintf("c%02d", i))
		}
		return list
	}
	var r plan.Turns
	for _, step := range []struct{ names, want []string }{
		{names(0, 3), names(0, 3)}, // few names: all of them each time
		{names(0, 10), names(0, 4)},
		{names(0, 10), names(4, 8)},
		{names(0, 10), append(names(8, 10), names(0, 2)...)},
		{names(3, 10), names(3, 7)},
		{names(0, 6), names(0, 4)}, // the current name and all after it are gone
		{names(4, 9), names(4, 8)},
	} {
		if got := r.Next(step.names, 4); !slices.Equal(got, step.want) {
			t.Errorf("of %v came %v, want %v", step.names, got, step.want)
		}
	}
}

// TestIdlePullIsBounded checks that an idle pull reads a few secrets, always includes
// those that another replica changed, and reads all within a round.
func TestIdlePullIsBounded(t *testing.T) {
	all := reconciletest.Crowd(plan.MostInTurn+200, "example.com")
	reconciletest.Bubble(t, func(w *reconciletest.World, repo *reconciletest.MemRepo) {
		w.Settle()
		looks := map[string]int{}
		w.Vault.Fail = func(op, path string) error {
			if op == "metadata" && strings.HasPrefix(path, "secret/tls/") {
				looks[path]++
			}
			return nil
		}
		pulled := func() map[string]int {
			synctest.Wait()
			w.Vault.Mu.Lock()
			defer w.Vault.Mu.Unlock()
			seen := looks
			looks = map[string]int{}
			return seen
		}
		defer w.Keep(repo, reconcile.LoopOptions{Interval: time.Hour})()
		if n := len(pulled()); n != len(all) {
			t.Errorf("the first pull looked at %d of %d", n, len(all))
		}
		overwritten, rotated := all[plan.MostInTurn+50], *all[len(all)-1]
		if _, err := w.Vault.Write(context.Background(), "secret", overwritten.Vault.Path, map[string]string{"certificate": "somebody's"}, 1); err != nil {
			t.Fatal(err)
		}
		rotated.Rotate = "leaked"
		others := w.Reconciler()
		theirs := reconciletest.Desire(append(slices.Clone(all[:len(all)-1]), &rotated)...)
		obs, err := others.ObserveAgain(context.Background(), theirs, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		planned := plan.New(theirs, obs, time.Now())
		planned.Actions = slices.DeleteFunc(planned.Actions, func(a plan.Action) bool { return a.Certificate != rotated.Name })
		if _, err := others.Apply(context.Background(), theirs, ledger.Revision{}, planned); err != nil {
			t.Fatal(err)
		}
		pulled()
		time.Sleep(66 * time.Minute)
		seen := pulled()
		if len(seen) != plan.MostInTurn+1 || seen["secret/"+rotated.Vault.Path] == 0 {
			t.Errorf("the next pull looked at %d, at what another rotated %d times", len(seen), seen["secret/"+rotated.Vault.Path])
		}
		if n, _ := w.Ca.Ordered(); n != len(all)+1 {
			t.Errorf("%d orders", n)
		}
		time.Sleep(66 * time.Minute)
		if seen = pulled(); seen["secret/"+overwritten.Vault.Path] == 0 {
			t.Error("within a round it did not come to what somebody overwrote")
		}
		if r := w.Ledger.Record(t, overwritten.Name); r.Live.Version != 3 {
			t.Errorf("what somebody overwrote is at version %d, want 3: restored", r.Live.Version)
		}
	}, all...)
}
