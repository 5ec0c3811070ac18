package spec

// Fields says what a secret holds. So far there is one way, "pem".
type Fields struct{}

// Digest identifies what the fields are made of.
func (Fields) Digest() string { return "pem" }

// Material is a pair with its chain, as PEM.
type Material struct{ Certificate, Chain, FullChain, PrivateKey string }

// Render makes the fields of a secret.
func (Fields) Render(m Material, _ func(Value) (string, error)) (map[string]string, error) {
	return map[string]string{"certificate": m.Certificate, "chain": m.Chain, "fullchain": m.FullChain, "private_key": m.PrivateKey}, nil
}
