package archive

// Breach is a place where the audit log is not as it should be.
type Breach struct {
	Commit   string `json:"commit"` // that brought it; "" where no one did
	File     string `json:"file"`
	Line     int    `json:"line"` // 0: the file as a whole, or none
	Problem  string `json:"problem"`
	Expected string `json:"expected"`
	Seen     string `json:"seen"`
}

// MostFindings are listed; a log that was made anew has one for each line.
const MostFindings = 50
