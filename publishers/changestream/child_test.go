package changestream_test

const childMongo = "BANYAN_CHANGESTREAM_TEST_MONGO"

func child() {}
