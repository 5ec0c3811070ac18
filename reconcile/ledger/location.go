package ledger

// Location is a place in Vault.
type Location struct{ Mount, Path string }

func (l Location) String() string { return l.Mount + "/" + l.Path }

const RecordDir = "certificates"

func RecordFile(name string) string { return RecordDir + "/" + name + ".json" }
