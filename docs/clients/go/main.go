// Shares an image, and is sure of it: a client with grpc-go.
//
// Usage: share <host:port> <account/region/image> <recipient> <reason>
//
// Who calls, by the environment: SHAREWARDEN_TLS_CA (a PEM file: use TLS and trust this authority), SHAREWARDEN_TLS_CERTIFICATE and
// SHAREWARDEN_TLS_KEY (PEM files: show this certificate), SHAREWARDEN_TOKEN_FILE (send the bearer token in this file),
// SHAREWARDEN_PRINCIPAL (say who calls, to a service on this machine that trusts it).
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
	patience = 30 * time.Second // for one call; the change goes on without us
	tries    = 5
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
		// The same for all tries: the request acts once, however often it is sent.
		RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	change := answer.GetChange()
	fmt.Println(change.GetChangeId(), change.GetState(), change.GetPrincipal())
	return nil
}

// transport is how the service is reached, and which certificate is shown to it.
func transport() (credentials.TransportCredentials, error) {
	authority := os.Getenv("SHAREWARDEN_TLS_CA")
	if authority == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", authority)
	}
	if certificate := os.Getenv("SHAREWARDEN_TLS_CERTIFICATE"); certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, os.Getenv("SHAREWARDEN_TLS_KEY"))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

// whoCalls adds what a call says of its caller.
func whoCalls(ctx context.Context) (context.Context, error) {
	if file := os.Getenv("SHAREWARDEN_TOKEN_FILE"); file != "" {
		token, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token))), nil
	}
	if principal := os.Getenv("SHAREWARDEN_PRINCIPAL"); principal != "" {
		return metadata.AppendToOutgoingContext(ctx, "x-sharewarden-principal", principal), nil
	}
	return ctx, nil
}

// grant sends a request until its answer is known.
func grant(client pb.SharePermissionServiceClient, request *pb.GrantSharePermissionRequest) (*pb.GrantSharePermissionResponse, error) {
	for tried := 1; ; tried++ {
		var trailer metadata.MD
		ctx, err := whoCalls(context.Background())
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
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

// toWait is the time until the same request may be sent again, and whether that is of use.
func toWait(err error, trailer metadata.MD, tried int) (time.Duration, bool) {
	if pushback := trailer.Get("grpc-retry-pushback-ms"); len(pushback) == 1 {
		milliseconds, err := strconv.Atoi(pushback[0])
		return time.Duration(milliseconds) * time.Millisecond, err == nil && milliseconds >= 0
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return 0, true // it was accepted, or nobody knows: the same request asks which
	case codes.Unavailable:
		return 200 * time.Millisecond << tried, true
	default:
		return 0, false
	}
}

// reasonOf is the service's own word for what is wrong; the code where it did not get to say one.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Code(err).String()
}
