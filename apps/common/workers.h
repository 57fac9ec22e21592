/* --workers of the programs. */
#ifndef T2_COMMON_WORKERS_H
#define T2_COMMON_WORKERS_H

#include <common/run.h>

/* "N" or "auto", for the option of that name; what is wrong is noted, and then it is 1. */
unsigned t2_app_workers(t2_app *app, const char *text);

#endif
