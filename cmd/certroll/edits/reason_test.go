package edits

import (
	"strings"
	"testing"
)

// TestReasonIsOneLine: a reason cannot start a new line in a commit message.
func TestReasonIsOneLine(t *testing.T) {
	a := &Commands{ConfigDir: new(string)}
	if err := a.checkEdit(&editFlags{reason: "moved\nCertificate: another"}); err == nil || !strings.Contains(err.Error(), "one line") {
		t.Errorf("got %v", err)
	}
	if err := a.checkEdit(&editFlags{reason: " moved\n"}); err != nil {
		t.Error(err)
	}
}
