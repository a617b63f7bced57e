package webcrypto

// never is a Job that goes on.
type never struct{}

func (never) Cancelled() bool { return false }
