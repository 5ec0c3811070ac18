package wait

import (
	"context"
	"net"
	"testing"
	"time"
)

func TestListenHasPatience(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	time.AfterFunc(60*time.Millisecond, func() { _ = taken.Close() })
	ln, err := Listen(t.Context(), address)
	if err != nil {
		t.Fatalf("the address was free after a moment: %v", err)
	}
	defer func() { _ = ln.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Listen(ctx, address); err == nil {
		t.Error("an interrupted call listens")
	}
}
