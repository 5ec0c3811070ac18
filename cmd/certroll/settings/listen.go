package settings

// HasToken reports whether requests need a token.
func (s *Settings) HasToken() bool { return s.ListenTokenFile != "" || s.ListenTokenEnv != "" }

// ListenToken returns the token that requests need; "": none. Callers read it for each
// request, so that it can be rotated under a running process.
func (s *Settings) ListenToken() (string, error) {
	if !s.HasToken() {
		return "", nil
	}
	return sharedSecret("the token for requests", "listen_token", s.ListenTokenEnv, s.ListenTokenFile)
}

// DefaultListen is the listen address unless certroll.hcl sets another. Only this
// machine can reach it.
const DefaultListen = "127.0.0.1:9464"

// ListenAddress returns the listen address; "": none.
func (s *Settings) ListenAddress() string {
	if s.Listen == nil {
		return DefaultListen
	}
	return *s.Listen
}
