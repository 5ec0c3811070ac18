package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"

	"certroll/spec"
)

// mostTalk is the size limit of a server's plain text before TLS, in bytes.
const mostTalk = 64 << 10

// startTLS brings a connection to the point where TLS begins.
func startTLS(conn net.Conn, protocol spec.Protocol) error {
	switch protocol {
	case spec.PlainTLS:
		return nil
	case spec.Postgres:
		return startPostgres(conn)
	}
	r := bufio.NewReader(io.LimitReader(conn, mostTalk))
	talk := &talk{conn, textproto.NewReader(r)}
	var err error
	if protocol == spec.SMTP {
		err = talk.smtp()
	} else {
		err = talk.imap()
	}
	if err == nil && r.Buffered() > 0 {
		err = errors.New("the server went on talking in plain text after it had agreed to TLS")
	}
	return err
}

// talk is a line-based conversation.
type talk struct {
	net.Conn
	r *textproto.Reader
}

// smtp starts TLS by RFC 3207.
func (t *talk) smtp() error {
	if _, _, err := t.r.ReadResponse(220); err != nil {
		return fmt.Errorf("its greeting: %w", err)
	}
	for _, step := range []struct {
		say  string
		code int
	}{{"EHLO certroll.invalid", 250}, {"STARTTLS", 220}} {
		if _, err := io.WriteString(t, step.say+"\r\n"); err != nil {
			return err
		}
		if _, _, err := t.r.ReadResponse(step.code); err != nil {
			return fmt.Errorf("its answer to %s: %w", step.say, err)
		}
	}
	return nil
}

// imap starts TLS by RFC 9051 section 6.2.1.
func (t *talk) imap() error {
	if line, err := t.r.ReadLine(); err != nil || !strings.HasPrefix(strings.ToUpper(line), "* OK") {
		return unlike(line, err)
	}
	if _, err := io.WriteString(t, "a STARTTLS\r\n"); err != nil {
		return err
	}
	for {
		line, err := t.r.ReadLine()
		switch {
		case err == nil && strings.HasPrefix(line, "* "):
		case err == nil && strings.HasPrefix(strings.ToUpper(line), "A OK"):
			return nil
		default:
			return unlike(line, err)
		}
	}
}

func unlike(line string, err error) error {
	if err != nil {
		return err
	}
	return errors.New("it answered: " + line)
}

// startPostgres sends an SSLRequest. The server answers with one byte, S if it supports
// TLS.
func startPostgres(conn net.Conn) error {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != 'S' {
		return fmt.Errorf("it answered %q to the SSLRequest: it does not do TLS there", answer[0])
	}
	return nil
}
