package static

import (
	"mime"
	"path"
	"strings"
)

// types are the content types of files for the Web, by extension. Others are those of the system
// (package mime); the same file should have the same type wherever a node runs, so what sites are made of
// stands here. Text is UTF-8.
var types = map[string]string{
	".aac": "audio/aac", ".apng": "image/apng", ".atom": "application/atom+xml", ".avif": "image/avif",
	".bin": "application/octet-stream", ".bmp": "image/bmp", ".bz2": "application/x-bzip2",
	".css": "text/css; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".eot": "application/vnd.ms-fontobject",
	".epub": "application/epub+zip", ".flac": "audio/flac", ".gif": "image/gif", ".glb": "model/gltf-binary",
	".gz": "application/gzip", ".heic": "image/heic", ".htm": "text/html; charset=utf-8",
	".html": "text/html; charset=utf-8", ".ico": "image/x-icon", ".ics": "text/calendar; charset=utf-8",
	".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".jsonld": "application/ld+json", ".jxl": "image/jxl",
	".m3u8": "application/vnd.apple.mpegurl", ".m4a": "audio/mp4", ".map": "application/json",
	".md": "text/markdown; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".mov": "video/quicktime",
	".mp3": "audio/mpeg", ".mp4": "video/mp4", ".mpd": "application/dash+xml", ".oga": "audio/ogg",
	".ogg": "audio/ogg", ".ogv": "video/ogg", ".opus": "audio/ogg", ".otf": "font/otf", ".pdf": "application/pdf",
	".png": "image/png", ".rss": "application/rss+xml", ".rtf": "application/rtf", ".svg": "image/svg+xml",
	".tar": "application/x-tar", ".tif": "image/tiff", ".tiff": "image/tiff", ".ts": "video/mp2t",
	".ttf": "font/ttf", ".txt": "text/plain; charset=utf-8", ".vtt": "text/vtt; charset=utf-8",
	".wasm": "application/wasm", ".wav": "audio/wav", ".weba": "audio/webm", ".webm": "video/webm",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff",
	".woff2": "font/woff2", ".xhtml": "application/xhtml+xml", ".xml": "application/xml", ".xz": "application/x-xz",
	".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip", ".zst": "application/zstd",
}

// typeOf is the content type of a file, by its name.
func typeOf(name string) string {
	extension := strings.ToLower(path.Ext(name))
	if known, ok := types[extension]; ok {
		return known
	}
	if known := mime.TypeByExtension(extension); known != "" {
		return known
	}
	return "application/octet-stream"
}
