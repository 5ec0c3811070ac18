package reconciletest

const PendingOfAPI = "secret/certroll/pending/api"

// Arrives lets the write through, which is taken since nothing is there any more.
func (w *World) Arrives(data map[string]string) {
	w.Vault.Secrets[PendingOfAPI] = &memSecret{Versions: []MemVersion{{Data: data}}}
}
