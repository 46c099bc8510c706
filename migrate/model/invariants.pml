/* The invariants, by their numbers in DESIGN section 4. The one that is broken is named
 * where Spin stops. With -DONLY=n, that one alone is looked at: a mutation must break
 * the one that it is said to break. */
#ifndef ONLY
#define ONLY 0
#endif
#define nothing 0 /* of an mtype */
#define looked(n) (ONLY == 0 || ONLY == n)

bool acknowledged_is_kept_2 = true;
bool one_writer_5 = true;
bool no_regression_6 = true;
bool an_exit_from_every_state_7 = true;
bool verified_is_switched_8 = true;
bool late_is_harmless_11 = true;

inline must2(ok)  { acknowledged_is_kept_2 = (ok) || !looked(2);      assert(acknowledged_is_kept_2) }
inline must5(ok)  { one_writer_5 = (ok) || !looked(5);                assert(one_writer_5) }
inline must6(ok)  { no_regression_6 = (ok) || !looked(6);             assert(no_regression_6) }
inline must7(ok)  { an_exit_from_every_state_7 = (ok) || !looked(7);  assert(an_exit_from_every_state_7) }
inline must8(ok)  { verified_is_switched_8 = (ok) || !looked(8);      assert(verified_is_switched_8) }
inline must11(ok) { late_is_harmless_11 = (ok) || !looked(11);        assert(late_is_harmless_11) }
