package page
import ("testing";"net/http/httptest";"time")
func TestTmp(t *testing.T){
	in := ten()
	s := NewServer(t.Context(), &shelf{tree: story(t, "api"), head: in.Ledger}, func() time.Time { return noon })
	for _, pass := range []bool{false,true} {
	if pass { s.Passed(in) }
	for _, a := range []string{"/", "/certificates/api", "/certificates/none", "/certificates/search"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", a, nil))
		b := w.Body.String()
		t.Log(a, w.Code, b[:min(len(b),600)])
	}}
}
