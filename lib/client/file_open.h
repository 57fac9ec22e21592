/* Opens files of a directory that is served, and never one outside of it. */
#ifndef T2_CLIENT_FILE_OPEN_H
#define T2_CLIENT_FILE_OPEN_H

/* Opens for reading what is at that path below the directory, and nothing outside of it, whatever symbolic
 * links say: a descriptor, or a negative errno. Special files are opened too, without blocking. */
int t2_file_open_beneath(int directory, const char *path);

#endif
