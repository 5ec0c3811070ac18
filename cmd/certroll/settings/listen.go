package settings

// HasToken tells whether a request has to show a token.
func (s *Settings) HasToken() bool { return s.ListenTokenFile != "" || s.ListenTokenEnv != "" }

// ListenToken is what a request has to show; "": nothing. It is read at each
// request, so that it can be rotated under a running process.
func (s *Settings) ListenToken() (string, error) {
	if !s.HasToken() {
		return "", nil
	}
	return sharedSecret("the token for requests", "listen_token", s.ListenTokenEnv, s.ListenTokenFile)
}

// DefaultListen is where run serves unless certroll.hcl says otherwise. Nobody
// but this machine reaches it.
const DefaultListen = "127.0.0.1:9464"

// ListenAddress is where to serve; "": nowhere.
func (s *Settings) ListenAddress() string {
	if s.Listen == nil {
		return DefaultListen
	}
	return *s.Listen
}
