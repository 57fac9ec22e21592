/* What a file is, by the end of its name. */
#ifndef T2_CLIENT_MEDIA_TYPE_H
#define T2_CLIENT_MEDIA_TYPE_H

#include <base/str.h>

/* The media type (RFC 9110, 8.3.1) for a file of that name, "application/octet-stream" when its end is not
 * known. Text is said to be UTF-8. A static string. */
const char *t2_media_type(t2_str name);

#endif
