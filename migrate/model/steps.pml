/* The steps of the switch, in their order. A test holds this list against the code's. */
mtype = { announce, hold, fence, drain, tail, confirm, switch, release };
mtype = { position }; /* of a rollback, whose drain is before the fence */
