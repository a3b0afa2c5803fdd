// Package auth reads and writes LiveKit access tokens: HS256 JWTs whose issuer is
// an API key and whose "video" claim says what the bearer may do.
//
// A token is bounded before it is parsed, only HS256 is accepted whatever the
// header claims, and it must expire. Errors carry a Kind; the sentence shown to
// the user and the HTTP status are derived from it here and nowhere else.
package auth
