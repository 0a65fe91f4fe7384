// Shares an image, and waits until the result is known: a client with grpc-go.
//
// Usage: share <host:port> <account/region/image> <recipient> <reason>
//
// Credentials come from the environment. SHAREWARDEN_TLS_CA: a PEM file; use TLS and trust this authority.
// SHAREWARDEN_TLS_CERTIFICATE and SHAREWARDEN_TLS_KEY: PEM files of the client certificate. SHAREWARDEN_TOKEN_FILE: a file with
// the bearer token. SHAREWARDEN_PRINCIPAL: a name for a service on this machine that accepts trusted headers.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example.com/sharewarden-client/gen/sharewarden/v1"
)

const (
	callTimeout = 30 * time.Second // the deadline of one call; an accepted change continues after it
	tries       = 5
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 4 {
		return fmt.Errorf("usage: share <host:port> <account/region/image> <recipient> <reason>")
	}
	image := strings.Split(arguments[1], "/")
	if len(image) != 3 {
		return fmt.Errorf("%q is not account/region/image", arguments[1])
	}
	transport, err := transport()
	if err != nil {
		return err
	}
	connection, err := grpc.Dial(arguments[0], grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer connection.Close()
	answer, err := grant(pb.NewSharePermissionServiceClient(connection), &pb.GrantSharePermissionRequest{
		AccountId:       image[0],
		Region:          image[1],
		ImageId:         image[2],
		SharedAccountId: arguments[2],
		Reason:          arguments[3],
		// The same id for all tries: the request acts once, no matter how often it is sent.
		RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	change := answer.GetChange()
	fmt.Println(change.GetChangeId(), change.GetState(), change.GetPrincipal())
	return nil
}

// transport returns the transport security, with the client certificate if there is one.
func transport() (credentials.TransportCredentials, error) {
	authority := os.Getenv("SHAREWARDEN_TLS_CA")
	if authority == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, fmt.Errorf("SHAREWARDEN_TLS_CA: %w", err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", authority)
	}
	if certificate := os.Getenv("SHAREWARDEN_TLS_CERTIFICATE"); certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, os.Getenv("SHAREWARDEN_TLS_KEY"))
		if err != nil {
			return nil, fmt.Errorf("SHAREWARDEN_TLS_CERTIFICATE, or its SHAREWARDEN_TLS_KEY: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

// whoCalls adds the token or the principal to a call.
func whoCalls(ctx context.Context) (context.Context, error) {
	if file := os.Getenv("SHAREWARDEN_TOKEN_FILE"); file != "" {
		token, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("SHAREWARDEN_TOKEN_FILE: %w", err)
		}
		return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token))), nil
	}
	if principal := os.Getenv("SHAREWARDEN_PRINCIPAL"); principal != "" {
		return metadata.AppendToOutgoingContext(ctx, "x-sharewarden-principal", principal), nil
	}
	return ctx, nil
}

// grant repeats a request until its result is known.
func grant(client pb.SharePermissionServiceClient, request *pb.GrantSharePermissionRequest) (*pb.GrantSharePermissionResponse, error) {
	for tried := 1; ; tried++ {
		var trailer metadata.MD
		ctx, err := whoCalls(context.Background())
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		answer, err := client.GrantSharePermission(ctx, request, grpc.Trailer(&trailer))
		cancel()
		if err == nil {
			return answer, nil
		}
		wait, useful := toWait(err, trailer, tried)
		if !useful || tried == tries {
			return nil, fmt.Errorf("%s: %s", reasonOf(err), status.Convert(err).Message())
		}
		time.Sleep(wait)
	}
}

// toWait returns the time until the same request may be sent again, and whether a retry is useful.
func toWait(err error, trailer metadata.MD, tried int) (time.Duration, bool) {
	if pushback := trailer.Get("grpc-retry-pushback-ms"); len(pushback) == 1 {
		milliseconds, err := strconv.Atoi(pushback[0])
		return time.Duration(milliseconds) * time.Millisecond, err == nil && milliseconds >= 0
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return 0, true // accepted or unconfirmed: the same request finds out
	case codes.Unavailable:
		return 200 * time.Millisecond << tried, true
	default:
		return 0, false
	}
}

// reasonOf returns the reason from the service, or the status code if there is none.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Code(err).String()
}
