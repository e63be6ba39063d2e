/*
 * HTTP/1.1 to look after an app: few clients, small answers, no end to what a
 * client may try. GNU libmicrohttpd reads and writes it; it is loaded when the
 * first server is opened, so that who has none needs it neither linked nor
 * installed.
 *
 * One thread serves all. A connection is for one request, and is cut off when it
 * has taken longer than HTTP_TIME_MS, from when it was made until the answer was
 * taken; that of a stream may take as long as its reader goes on to read. If there
 * are HTTP_CONNECTIONS the oldest is cut off for a new one. Memory
 * is HTTP_MEMORY and HTTP_BODY_MAX a connection, at most, and the answers.
 */
#ifndef CRATOS_HTTP_H
#define CRATOS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

enum {
	HTTP_CONNECTIONS = 128,
	HTTP_TIME_MS = 10000,
	HTTP_STREAMS = 32, /* of them; more are refused */
	HTTP_STREAM_BYTES = 32 * 1024, /* room for a piece of one */
	HTTP_BEAT_MS = 5000, /* an empty line in a stream that says nothing */
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

/*
 * An answer that is written piece by piece. begin returns where to, NULL without
 * memory. reply sends all of it, and ends it; false, and nothing is sent, if there
 * was no memory for it, at begin or later.
 */
struct http_page {
	FILE *out;
	char *text;
	size_t size;
};
FILE *http_page_begin(struct http_page *page);
bool http_page_reply(struct http_page *page, struct http_request *request,
    int status, const char *type);

/*
 * What a stream consists of: writes the next whole lines to text, and returns how
 * many bytes that is, 0 if there is nothing now, or -1 if there is no more to come.
 * Called on the server's thread.
 */
typedef ssize_t http_source_fn(void *arg, char text[static HTTP_STREAM_BYTES]);

/*
 * In the place of http_reply: an answer of lines, as they come, until the source
 * is at its end, or the server: what there is then is still sent. The source is
 * asked again after http_wake. done(arg) is called in any case, also if there are
 * too many streams, and the answer is 503.
 */
void http_stream(struct http_request *request, const char *type,
    http_source_fn *source, void (*done)(void *arg), void *arg);

/* There may be news for streams. From any thread; does not block. */
void http_wake(struct http *http);

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
