/* T2_API marks what libtunnel2 exports; everything else is hidden. */
#ifndef TUNNEL2_EXPORT_H
#define TUNNEL2_EXPORT_H

#if defined(__GNUC__)
#define T2_API               __attribute__((visibility("default")))
#define T2_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define T2_API
#define T2_PRINTF(fmt, args)
#endif

#endif
