package page

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"certroll/cmd/certroll/page/pagetest"
)

var screenshots = flag.String("screenshots", "", "write the documentation's pictures into this directory")

// TestScreenshots writes the screenshots in the documentation (make screenshots).
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("no directory is named")
	}
	b := pagetest.Start(t)
	serve := func(in Input) string {
		s := NewServer(t.Context(), &shelf{tree: story(t, "api", in.Problems...), head: in.Ledger}, func() time.Time { return noon })
		s.Passed(in)
		server := httptest.NewServer(s)
		t.Cleanup(server.CloseClientConnections)
		return server.URL
	}
	small, large := serve(ten()), serve(many(10_000))
	for _, c := range []struct {
		name, address, scheme string
		width, height         int64
	}{
		{"page-10", small + "/", "light", 1280, 1090},
		{"page-dark", small + "/", "dark", 1280, 1090},
		{"page-10000", large + "/", "light", 1280, 1280},
		{"certificate", small + "/certificates/api", "light", 1280, 1280},
		{"page-phone", small + "/", "light", 400, 1500},
	} {
		tab := b.Tab(t)
		tab.Scheme(c.scheme)
		tab.Size(c.width, c.height)
		tab.Open(c.address)
		tab.Until(`document.getElementById("pulse").textContent === "live"`)
		if err := os.WriteFile(filepath.Join(*screenshots, c.name+".png"), palettized(t, tab.Shot()), 0o644); err != nil {
			t.Fatal(err)
		}
		tab.Silent()
	}
}

// palettized reduces a picture to its 256 most frequent colors.
func palettized(t *testing.T, b []byte) []byte {
	t.Helper()
	in, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	box := in.Bounds()
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(in.At(x, y)).(color.RGBA) }
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	var colours []color.RGBA
	for c := range count {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var palette color.Palette
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	index := map[color.RGBA]uint8{}
	for _, c := range colours {
		index[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(box, palette)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			out.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	var w bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&w, out); err != nil {
		t.Fatal(err)
	}
	return w.Bytes()
}
