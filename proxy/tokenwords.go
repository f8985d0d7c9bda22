package proxy

import (
	"slices"
	"strings"
)

// saysTokenExpired reports whether an error message says that the access token has
// expired, and not something else: an offer or a payment link may expire too, and a
// write that upstream dealt with must not be sent again. In doubt it does not.
//
// Known to occur are "The token has been expired." and the like (Monite), "Signature
// has expired" and "JWT expired" (its JWT libraries).
func saysTokenExpired(message string) bool {
	for sentence := range strings.FieldsFuncSeq(strings.ToLower(message), endsSentence) {
		words := strings.FieldsFunc(sentence, func(r rune) bool { return r < 'a' || r > 'z' })
		if at := slices.Index(words, "expired"); at >= 0 {
			return hasExpired(words[:at], words[at+1:]) || expiredToken(words[:at], words[at+1:])
		}
	}
	return false
}

func endsSentence(r rune) bool { return strings.ContainsRune(".!?\n", r) }

// hasExpired takes a sentence apart: "the access token | has | expired | at 10".
func hasExpired(before, after []string) bool {
	for len(before) > 0 && verbWords[before[len(before)-1]] {
		before = before[:len(before)-1]
	}
	if len(before) == 0 || !tokenWords[before[len(before)-1]] || !all(before[:len(before)-1], ownWords) {
		return false
	}
	return len(after) == 0 || afterWords[after[0]]
}

// expiredToken matches "invalid or | expired | access token | was provided".
func expiredToken(before, after []string) bool {
	if !all(before, ownWords, verbWords) {
		return false
	}
	at := slices.IndexFunc(after, func(word string) bool { return tokenWords[word] })
	if at < 0 || !all(after[:at], ownWords, verbWords) {
		return false
	}
	return all(after[at+1:], ownWords, verbWords, afterWords)
}

func all(words []string, known ...map[string]bool) bool {
	for _, word := range words {
		if !slices.ContainsFunc(known, func(set map[string]bool) bool { return set[word] }) {
			return false
		}
	}
	return true
}

// The words that may stand in such a sentence. Another one, such as "invitation" before
// "token", says that it is about something else.
var (
	tokenWords = set("token jwt bearer signature")
	ownWords   = set("the a an your this that our error code access bearer auth authentication authorization oauth api jwt partner user entity failed unauthorized forbidden invalid provided supplied given token")
	verbWords  = set("has have had is was been be already or and not valid invalid malformed missing revoked now it")
	afterWords = set("at on since or and please before ago in was is seconds minutes hours days provided supplied given revoked invalid get request refresh")
)

func set(words string) map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		all[word] = true
	}
	return all
}
