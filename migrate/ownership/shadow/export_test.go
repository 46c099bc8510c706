package shadow

func init() { looks = looks[:4] } // a store of a test lags by nothing
