package credential

import (
	"errors"
	"strings"
	"testing"
)

func TestFault(t *testing.T) {
	cases := map[string]struct {
		value string
		form  Form
		want  string
	}{
		"good":                      {"s3cr3t-token", Token, ""},
		"good with a blank inside":  {"two words", Token, ""},
		"line break":                {"s3cr3t\n", Token, "ends in a line break"},
		"Windows' line break":       {"s3cr3t\r\n", Token, "ends in a line break"},
		"carriage return":           {"s3cr3t\r", Token, "ends in a line break"},
		"several line breaks":       {"s3cr3t\n\n", Token, "ends in a line break"},
		"blank and line break":      {"s3cr3t \n", Token, "ends in a line break"},
		"blank":                     {"s3cr3t ", Token, "ends in a blank"},
		"tab":                       {"s3cr3t\t", Token, "ends in a blank"},
		"no-break space":            {"s3cr3t\u00a0", Token, "ends in a blank"},
		"blank before":              {" s3cr3t", Token, "begins with a blank"},
		"line break before":         {"\ns3cr3t", Token, "begins with a blank"},
		"byte order mark":           {"\ufeffs3cr3t", Token, "begins with a byte order mark"},
		"UTF-16":                    {"s\x003\x00", Token, "is not UTF-8 text"},
		"UTF-16 with mark":          {"\xff\xfes\x00", Token, "is not UTF-8 text"},
		"control character":         {"s3c\x1b[0mret", Token, "has a control character in it"},
		"empty":                     {"", Token, "is empty"},
		"line break alone":          {"\n", Token, "holds blanks alone"},
		"PEM":                       {"-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n", Token, ""},
		"PEM with escaped breaks":   {"-----BEGIN PRIVATE KEY-----\\nMC4C\n", Token, ""},
		"a brace inside":            {"s3c{ret\n", Token, "ends in a line break"},
		"JSON":                      {"{\"type\": \"service_account\"}\n", Token, ""},
		"JSON over lines":           {"{\n  \"type\": \"service_account\"\n}\n", Token, ""},
		"base64 with a line break":  {"c2VjcmV0\n", Base64, ""},
		"base64 over lines":         {"c2Vj\ncmV0\n", Base64, ""},
		"base64 with a blank":       {"c2VjcmV0 ", Base64, "ends in a blank"},
		"base64 with a blank first": {" c2VjcmV0\n", Base64, "begins with a blank"},
		"base64 of nothing":         {"\n", Base64, "holds blanks alone"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Fault(c.value, c.form); got != c.want {
				t.Errorf("Fault(%q) = %q, want %q", c.value, got, c.want)
			}
			err := Check("the field token of kv/dns", c.value, c.form)
			if (err != nil) != (c.want != "") {
				t.Fatalf("Check: %v", err)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), "the field token of kv/dns "+c.want+": ") || strings.Contains(err.Error(), "s3c")) {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestPassphrase(t *testing.T) {
	wrong := errors.New("wrong passphrase")
	if err := Passphrase("the variable P", "hunter2\n", wrong); !errors.Is(err, wrong) || !strings.HasSuffix(err.Error(), "; the variable P ends in a line break, which may be a mistake") {
		t.Error(err)
	}
	if err := Passphrase("the variable P", "hunter2", wrong); err != wrong {
		t.Error(err)
	}
	if err := Passphrase("the variable P", "hunter2\n", nil); err != nil {
		t.Error(err)
	}
}
