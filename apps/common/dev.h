/* What --dev gives by itself, and what must be given without it. The calls return nothing: what is wrong is
 * noted, and t2_app_start says it. Call them between t2_app_init and t2_app_start, in this order. */
#ifndef T2_COMMON_DEV_H
#define T2_COMMON_DEV_H

#include <common/run.h>
#include <tunnel2/dev.h>

/* With --dev: app->state_dir gets its default, and the directory and its files are made if they are not
 * there. */
void t2_app_dev_state(t2_app *app);
/* A file that --option names: when it was not given, the state directory's `name` with --dev, else it is
 * missing. */
void t2_app_file(t2_app *app, const char **value, const char *option, const char *name);
/* The same for a file that may well be missing without --dev (a client's --ca: the system's are used). */
void t2_app_file_or_none(t2_app *app, const char **value, const char *name);
/* The token: *token as --token gave it, or the first line of token_file, or with --dev of the state
 * directory's; else it is missing, by the name of `options`. */
#define T2_APP_TOKEN_OPTIONS "token or --token-file"
void t2_app_token(t2_app *app, const char **token, const char *token_file, const char *options);
/* USER:PASSWORD: *password as --basic-auth gave it, or the first line of the file, which may be NULL. */
void t2_app_password(t2_app *app, const char **password, const char *file);
/* Without --dev, value has to be given. */
void t2_app_require(t2_app *app, const char *option, const char *value);
/* With --dev, the address an option binds has to be a loopback one. value may be NULL. */
void t2_app_loopback(t2_app *app, const char *option, const char *value);

/* "dir/name", which lives as long as the app; NULL (noted) when there is no memory. */
const char *t2_app_path(t2_app *app, const char *dir, const char *name);

#endif
