/*
 * HTTP/1.1 to look after an app: few clients, small answers, no end to what a
 * client may try. GNU libmicrohttpd reads and writes it; it is loaded when the
 * first server is opened, so that who has none needs it neither linked nor
 * installed.
 *
 * One thread serves all. A connection is for one request, and is cut off when it
 * has taken longer than HTTP_TIME_MS, from when it was made until the answer was
 * taken; if there are HTTP_CONNECTIONS the oldest is cut off for a new one. Memory
 * is HTTP_MEMORY and HTTP_BODY_MAX a connection, at most, and the answers.
 */
#ifndef CRATOS_HTTP_H
#define CRATOS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	HTTP_CONNECTIONS = 128,
	HTTP_TIME_MS = 10000,
	HTTP_MEMORY = 16 * 1024, /* for the request's line and headers */
	HTTP_BODY_MAX = 16 * 1024
};

struct http;
struct http_request;

/*
 * Answers a request, by one http_reply; on the server's thread, which serves
 * nobody else meanwhile.
 */
typedef void http_handler_fn(struct http_request *request, void *arg);

/*
 * A server that listens on address, as tcp_options.listen, and does not serve
 * yet. mode is that of a unix socket's file; 0: what the umask leaves. 0 or a negative errno with words: as listener_open, -ENOPKG if the library
 * cannot be loaded.
 */
int http_open(struct http **http, const char *address, mode_t mode,
    http_handler_fn *handler, void *arg);

/* Serves from now on, on a thread with all signals blocked. 0 or an errno. */
int http_start(struct http *http);

/* Where it listens, as the URL of tcp_endpoint. */
const char *http_url(const struct http *http);

/* Ends it: cuts off who is connected, joins the thread. NULL is nothing. */
void http_close(struct http **http);

/* Of a request; texts last as long as the handler's call. */
const char *http_method(const struct http_request *request);
const char *http_path(const struct http_request *request);
/* The value behind ?name= in the URL; "" without one, NULL if it is not there. */
const char *http_argument(const struct http_request *request, const char *name);
const char *http_header(const struct http_request *request, const char *name);

/* The connection's socket, to ask who the peer is. */
int http_fd(const struct http_request *request);

/* One header of the answer, of texts that stay; before http_reply. */
void http_add_header(struct http_request *request, const char *name,
    const char *value);

/* Text is copied; type is its media type. */
void http_reply(struct http_request *request, int status, const char *type,
    const char *text, size_t size);

#endif
