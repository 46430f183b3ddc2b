// SPDX-License-Identifier: Apache-2.0

package config

// Submission is what holds for mail that users hand in (RFC 6409).
type Submission struct {
	AddMissing   bool   // Date and Message-ID
	RemoveBcc    bool   // Bcc and Resent-Bcc
	From         string // "any" or "own": whose addresses From may hold
	AddSender    bool   // Sender, where From holds another's address
	HideClient   bool   // our Received field does not say where the client is
	UserMessages Rate   // messages of one user; zero: any number
	UserRcpts    Rate   // recipients of one user
	TenantMsgs   Rate   // messages of one tenant
}

func submissionSpec() *blockSpec {
	return &blockSpec{
		name: "submission", count: always, doc: "What happens to mail of users who have logged in, on any kind of listener, and to all mail of a submission listener. Rates begin anew when the relay does.",
		args: []argSpec{
			{"add_missing", boolKind(), `true`, false, "Add Date and Message-ID where they are missing, unless the message has a DKIM signature (RFC 6409 sections 8.2 and 8.3)."},
			{"remove_bcc", boolKind(), `true`, false, "Take the fields Bcc and Resent-Bcc out."},
			{"from", enumKind("any", "own"), `"any"`, false, "\"own\" refuses a message whose From or Sender field holds an address that the user may not send as; it says nothing about users who may send as anybody."},
			{"add_sender", boolKind(), `false`, false, "Add a Sender field with the envelope's sender where From holds no address of the user (RFC 6409 section 8.1)."},
			{"hide_client", boolKind(), `false`, false, "Leave the client's name and address out of our Received field."},
			{"user_messages", rateKind(), ``, false, "Messages of one user; what is more is answered 450."},
			{"user_recipients", rateKind(), ``, false, "Recipients of one user; what is more is answered 452."},
			{"tenant_messages", rateKind(), ``, false, "Messages of all users of one tenant; what is more is answered 450."},
		},
	}
}

func buildSubmission(n *node) Submission {
	return Submission{
		AddMissing: arg[bool](n, "add_missing"), RemoveBcc: arg[bool](n, "remove_bcc"), From: arg[string](n, "from"),
		AddSender: arg[bool](n, "add_sender"), HideClient: arg[bool](n, "hide_client"),
		UserMessages: arg[Rate](n, "user_messages"), UserRcpts: arg[Rate](n, "user_recipients"), TenantMsgs: arg[Rate](n, "tenant_messages"),
	}
}
