package reconcile

func sameMessage(a, b string) bool { return a == b }
