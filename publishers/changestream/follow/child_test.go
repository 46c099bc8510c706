package follow_test

const childEnv = "BANYAN_FOLLOW_TEST_CHILD"

func child() {}
