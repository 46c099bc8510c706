package outbox_test

const childEnv = "BANYAN_OUTBOX_TEST_CHILD"

func child() {}
