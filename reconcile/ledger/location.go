package ledger

// Location is a place in Vault.
type Location struct{ Mount, Path string }

func (l Location) String() string { return l.Mount + "/" + l.Path }

// RecordDir is the directory of the records.
const RecordDir = "certificates"

// RecordFile is where a certificate's record is.
func RecordFile(name string) string { return RecordDir + "/" + name + ".json" }
