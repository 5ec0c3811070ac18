package archive

// Breach is a deviation from the expected content of the ledger.
type Breach struct {
	Commit   string `json:"commit"` // the commit that caused it; "": unknown
	File     string `json:"file"`
	Line     int    `json:"line"` // 0: the whole file, or no file
	Problem  string `json:"problem"`
	Expected string `json:"expected"`
	Seen     string `json:"seen"`

	version string // of a deleted record: tells its deletions apart
}

// MostFindings bounds the findings of one check. A forged log has one for each line.
const MostFindings = 50
