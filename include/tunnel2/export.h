/* What libtunnel2 exports; everything else in it is hidden. */
#ifndef TUNNEL2_EXPORT_H
#define TUNNEL2_EXPORT_H

#if defined(__GNUC__)
/* Stands before each function of the public API. */
#define T2_API __attribute__((visibility("default")))
/* Argument fmt is a format as printf takes it, and args the first that it formats. */
#define T2_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define T2_API
#define T2_PRINTF(fmt, args)
#endif

#endif
