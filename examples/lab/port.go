package lab

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// The lab's ports lie below the system's range for outgoing connections, so that none is
// taken between the choice and the server's bind.
const (
	firstPort   = 11000
	ports       = 10000
	guardOffset = ports // the guard of port N listens on port N+guardOffset
)

// reservation holds a free loopback port, for TCP and UDP, and the next one.
//
// Several test programs start servers at the same time, and another may take a port that
// is free now before our server binds it. A reservation therefore listens on a second
// port, the guard, which reserves the first. The kernel closes guards with their process,
// so no lock file stays behind.
type reservation struct {
	Port  int
	Addr  string // "127.0.0.1:port"
	guard net.Listener
}

func reservePort() (*reservation, error) {
	for range 200 {
		port := firstPort + 2*rand.IntN(ports/2) // even, because Vault also uses the next port
		guard, err := net.Listen("tcp", loopback(port+guardOffset))
		if err != nil {
			continue
		}
		if portFree(port) && portFree(port+1) {
			return &reservation{Port: port, Addr: loopback(port), guard: guard}, nil
		}
		_ = guard.Close()
	}
	return nil, errors.New("no free loopback port found in 200 tries; are many labs left running?")
}

// ReserveAddr returns a free address on loopback. No other lab takes it before release is
// called.
func ReserveAddr() (addr string, release func(), err error) {
	r, err := reservePort()
	if err != nil {
		return "", nil, err
	}
	return r.Addr, r.release, nil
}

func (r *reservation) release() {
	if r != nil {
		_ = r.guard.Close()
	}
}

func portFree(port int) bool {
	tcp, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	defer func() { _ = tcp.Close() }()
	udp, err := net.ListenPacket("udp", loopback(port))
	if err != nil {
		return false
	}
	_ = udp.Close()
	return true
}

// patiently binds a reserved port in this process, and retries for a second. A child
// forked while portFree tried the port inherits its socket until exec, and the port is in
// use for so long.
func patiently[S any](bind func() (S, error)) (s S, err error) {
	for range 100 {
		if s, err = bind(); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s, err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
