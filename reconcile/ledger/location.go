package ledger

// Location is the mount and path of a secret in Vault.
type Location struct{ Mount, Path string }

func (l Location) String() string { return l.Mount + "/" + l.Path }

// RecordDir is the directory of the records in the ledger.
const RecordDir = "certificates"

// RecordFile returns the file of a certificate's record.
func RecordFile(name string) string { return RecordDir + "/" + name + ".json" }
