package recorder_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/examples/lab"
	"certroll/gitsync"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
	"certroll/reconcile/statuspage"
	"certroll/reconcile/times"
	"certroll/spec"
)

var (
	growthDays  = flag.Int("growth-days", 5, "how many days BenchmarkLedgerGrowth goes through")
	growthBatch = flag.Int("growth-batch", 14, "how many renewals end together")
)

const (
	growthCertificates = 10_000
	growthEvery        = 30 * times.Day // a 45-day certificate is renewed after two thirds
)

// grower renews certificates one after another in a ledger, through the same code as
// certroll run. Its random values have the entropy of real certificates and keys.
type grower struct {
	b       *testing.B
	n       int // number of certificates
	scribe  *recorder.Writer
	at      time.Time
	records []*ledger.Record
	random  *rand.Rand
}

func (g *grower) hex(bytes int) string {
	b := make([]byte, bytes)
	for i := range b {
		b[i] = byte(g.random.Uint32())
	}
	return hex.EncodeToString(b)
}

// live returns a fresh certificate.
func (g *grower) live(i int, old *ledger.Live) *ledger.Live {
	names := []string{fmt.Sprintf("c%05d.example.com", i), fmt.Sprintf("www.c%05d.example.com", i)}
	sum := sha256.Sum256([]byte(strings.Join(names, "\n")))
	l := &ledger.Live{
		Serial: g.hex(18), NotBefore: g.at.Add(-time.Hour), NotAfter: g.at.Add(45 * times.Day), Names: names, NamesDigest: hex.EncodeToString(sum[:]),
		KeyDigest: g.hex(32), KeyShape: "ecdsa-P-256", KeySince: g.at, Issuer: "letsencrypt", Directory: "https://acme-v02.api.letsencrypt.org/directory",
		Profile: "tlsserver", Mount: "secret", Path: fmt.Sprintf("tls/c%05d", i), Version: 1, Revision: strings.Repeat("c0ffee", 7)[:40], IssuedAt: g.at,
		ARI: g.hex(20) + "." + g.hex(18), DNSAccount: "cloudflare_prod",
	}
	if old != nil {
		l.Version = old.Version + 1
	}
	return l
}

func (g *grower) record(i int, l *ledger.Live) *ledger.Record {
	renew := g.at.Add(growthEvery)
	return &ledger.Record{
		Schema: ledger.RecordSchema, Certificate: fmt.Sprintf("c%05d", i), State: ledger.StateLive, Names: l.Names, File: fmt.Sprintf("teams/t%03d.hcl", i/100),
		OnRemove: spec.Keep, Live: l, RenewAt: &renew, UpdatedAt: g.at,
		RenewalInfo: &ledger.RenewalInfo{Serial: l.Serial, Start: renew, End: renew.Add(22 * time.Hour), RenewAt: renew.Add(7 * time.Hour), CheckedAt: g.at},
	}
}

// renew records one renewal.
func (g *grower) renew(i int) {
	old := g.records[i].Live
	l := g.live(i, old)
	r := g.record(i, l)
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: g.hex(12), Time: g.at, Operation: ledger.KindRenew, Certificate: r.Certificate, Names: r.Names, Status: ledger.Success,
		Reason: "ari", Detail: "the CA suggests " + g.at.Format(time.RFC3339) + " to " + g.at.Add(22*time.Hour).Format(time.RFC3339), Actor: "schedule", Cause: "schedule",
		Revision: l.Revision, OldSerial: old.Serial, NewSerial: l.Serial, KeyDigest: l.KeyDigest, Issuer: l.Issuer, Directory: l.Directory, DNSAccount: l.DNSAccount,
		VaultPath: l.Mount + "/" + l.Path, VaultVer: l.Version, OrderURL: fmt.Sprintf("https://acme-v02.api.letsencrypt.org/acme/order/%d/%d", 1_000_000_000, g.random.Int64N(1e12)),
		Exempt: ledger.ExemptARI, Duration: float64(g.random.IntN(20_000)) / 1000,
	}
	if err := g.scribe.Note(ledger.Entry{Event: e, Record: r}); err != nil {
		g.b.Fatal(err)
	}
	g.records[i] = r
}

func (g *grower) flush() {
	if _, _, err := g.scribe.Flush(context.Background()); err != nil {
		g.b.Fatal(err)
	}
}

// BenchmarkLedgerGrowth renews 10,000 certificates of 45 days, spread over time, with
// one commit per hour of renewals (or -growth-batch), and reports the size of the
// repository after git gc. For one month:
//
//	go test -run '^$' -bench LedgerGrowth -benchtime 1x -timeout 2h ./reconcile/recorder -growth-days 30
func BenchmarkLedgerGrowth(b *testing.B) {
	for b.Loop() {
		repo, err := lab.CreateBare(b.TempDir(), "ledger")
		if err != nil {
			b.Fatal(err)
		}
		g := newGrower(b, repo, growthCertificates)
		g.issueAll()
		// Repack as after years of use: otherwise bad initial packing hides the growth.
		if _, err := lab.Git(b.Context(), repo, "repack", "-a", "-d", "-f", "-q"); err != nil {
			b.Fatal(err)
		}
		before, began := packed(b, repo), time.Now()
		commits := g.renewFor(*growthDays, *growthBatch)
		took := time.Since(began)
		grown := packed(b, repo) - before
		b.ReportMetric(float64(commits), "commits")
		b.ReportMetric(float64(took.Milliseconds())/float64(commits), "ms/commit")
		b.ReportMetric(before, "start-MB")
		b.ReportMetric(grown, "grown-MB")
		b.ReportMetric(grown/float64(*growthDays)*365, "MB/year")
	}
}

// BenchmarkLedgerCommit records one renewal.
func BenchmarkLedgerCommit(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			repo, err := lab.CreateBare(b.TempDir(), "ledger")
			if err != nil {
				b.Fatal(err)
			}
			g := newGrower(b, repo, n)
			g.issueAll()
			g.renew(0) // the first access reads all records
			g.flush()
			for i := 1; b.Loop(); i++ {
				g.renew(i % n)
				g.flush()
			}
		})
	}
}

func newGrower(b *testing.B, repo string, n int) *grower {
	b.Helper()
	ledger, err := gitsync.OpenLedger(gitsync.LedgerOptions{URL: repo, CacheDir: b.TempDir(), SkipCI: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ledger.Close() })
	g := &grower{b: b, n: n, at: reconciletest.Start, random: rand.New(rand.NewPCG(1, 2))}
	g.scribe = &recorder.Writer{Flushing: semaphore.NewWeighted(1), Ledger: ledger, Journal: &reconciletest.MemJournal{}, Now: func() time.Time { return g.at }, Records: &archive.RecordCache{}}
	return g
}

// issueAll fills the ledger with all records.
func (g *grower) issueAll() {
	g.b.Helper()
	_, err := g.scribe.Ledger.Commit(g.b.Context(), "Issue them all", func(fs.FS) (map[string][]byte, error) {
		files, records := map[string][]byte{}, map[string]*ledger.Record{}
		for i := range g.n {
			r := g.record(i, g.live(i, nil))
			g.records, records[r.Certificate] = append(g.records, r), r
			var err error
			if files[ledger.RecordFile(r.Certificate)], err = ledger.MarshalRecord(r); err != nil {
				return nil, err
			}
		}
		files["STATUS.md"] = statuspage.StatusPage(records, nil)
		return files, nil
	})
	if err != nil {
		g.b.Fatal(err)
	}
}

// renewFor renews for some days, with this many renewals per commit.
func (g *grower) renewFor(days, together int) (commits int) {
	for i := range days * g.n / 30 {
		g.at = g.at.Add(growthEvery / time.Duration(g.n))
		g.renew(i % g.n)
		if (i+1)%together == 0 {
			g.flush()
			commits++
		}
	}
	g.flush()
	return commits
}

// packed returns the size of a repository after git gc.
func packed(b *testing.B, repo string) float64 {
	b.Helper()
	if _, err := lab.Git(b.Context(), repo, "gc", "--quiet", "--prune=now"); err != nil {
		b.Fatal(err)
	}
	var size int64
	err := filepath.WalkDir(repo, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return float64(size) / 1e6
}
