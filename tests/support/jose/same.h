/* The validator's own reader beside jansson: one text, twice read, must be one thing. */
#ifndef CW_TESTS_SAME_H
#define CW_TESTS_SAME_H

#include "common/jose/doc.h"

enum { SAME_DETAIL_SIZE = 160 };

/* Reads the text with cw_doc_parse and with cw_json_parse_object. True where both refuse it, or
 * both accept it, find the same values in the same order, each member by its name, and what is
 * written of it is read the same again. Else ret_detail says for people what differs. ret_accepted
 * (may be NULL): both accept it. At most CW_DOC_TEXT_MAX bytes. */
bool same_reading(struct cw_str text, bool *ret_accepted, char ret_detail[SAME_DETAIL_SIZE]);

#endif
